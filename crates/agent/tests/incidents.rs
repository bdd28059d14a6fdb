//! What went wrong elsewhere, tried here: cases that touch the agent's own calls. The escape suite has what Steps try.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::{eventually, helper};

/// Answers every request by `answer` and counts them.
fn serve(answer: String) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let answer_one = move |mut stream: TcpStream| {
        counted.fetch_add(1, Ordering::SeqCst);
        let _request = stream.read(&mut [0; 8192]);
        let _answered = stream.write_all(answer.as_bytes());
    };
    std::thread::spawn(move || listener.incoming().flatten().for_each(answer_one));
    (port, count)
}

/// CVE-2026-40161: a credential followed an address that somebody else had chosen.
#[test]
fn credentials_do_not_follow_a_redirect_to_another_host() {
    let (foreign, heard) =
        serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}".to_owned());
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://localhost:{foreign}/agent/v1/poll\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let (own, asked) = serve(redirect);
    let data = tempfile::tempdir().unwrap();
    for directory in ["run", "keys"] {
        std::fs::create_dir(data.path().join(directory)).unwrap();
    }
    let local =
        serde_json::json!({ "url": format!("http://127.0.0.1:{own}"), "token": "the-agents-credential" });
    std::fs::write(data.path().join("run/local.json"), local.to_string()).unwrap();
    let mut agent = Command::new(helper())
        .arg("agent")
        .arg(data.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the agent asks more than once", || asked.load(Ordering::SeqCst) > 2);
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert_eq!(heard.load(Ordering::SeqCst), 0, "another host was asked");
}
