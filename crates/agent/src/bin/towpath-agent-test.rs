//! The commands of `towpath` that tests start as processes.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use towpath_agent::executor::Limits;
use towpath_agent::process::{AgentOptions, Credentials};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_deref().and_then(|name| name.to_str()) {
        Some("sandbox-exec") => towpath_agent::sandbox::exec_main(arguments),
        Some("supervise") => towpath_agent::instances::supervise_main(arguments),
        Some("agent") => agent(arguments.next().map(PathBuf::from).unwrap_or_default()),
        Some("http") => serve_file(&arguments.next().map(PathBuf::from).unwrap_or_default()),
        other => {
            eprintln!("unknown command {other:?}");
            ExitCode::from(2)
        }
    }
}

/// An agent in `<data>/agent`, as `towpath agent` runs a local one.
fn agent(data: PathBuf) -> ExitCode {
    let options = AgentOptions {
        directory: data.join("agent"),
        credentials: Credentials::Local { file: data.join("run/local.json") },
        release_key: data.join("keys/release.pub"),
        data,
        labels: BTreeMap::new(),
        runner: true,
        deployer: true,
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        capacity: 2,
        one_job: std::env::var_os("ONE_JOB").is_some(),
        program: std::env::current_exe().expect("the test runs from a file"),
        allow_unsandboxed: true,
        limits: Limits::default(),
        allow_fork_containers: false,
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    match runtime.block_on(towpath_agent::process::run(options, std::future::pending())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A Workload for tests: answers every request on HOST and PORT with the content of a file, but with
/// 503 for `/live` while the file named by ILL exists.
fn serve_file(file: &Path) -> ExitCode {
    let variable = |name| std::env::var(name).expect("the supervisor sets HOST and PORT");
    let listener =
        TcpListener::bind(format!("{}:{}", variable("HOST"), variable("PORT"))).expect("the port is free");
    println!("listening; token {}", std::env::var("TOKEN").unwrap_or_default());
    for mut stream in listener.incoming().flatten() {
        let mut request = [0; 1024];
        let length = stream.read(&mut request).unwrap_or_default();
        let is_ill = request[..length].starts_with(b"GET /live")
            && std::env::var("ILL").is_ok_and(|file| Path::new(&file).exists());
        let status = if is_ill { "503 Service Unavailable" } else { "200 OK" };
        let body = std::fs::read_to_string(file).unwrap_or_default();
        let answer =
            format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        let _gone = stream.write_all(answer.as_bytes());
    }
    ExitCode::SUCCESS
}
