//! The shop's own checks: `check smoke URL`, `check acceptance URL`. Only the standard library, so that it compiles in
//! a moment on whatever builds the shop.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

/// How often a customer tries again.
const TRIES: usize = 10;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match &arguments[..] {
        [kind, url] if kind == "smoke" => smoke(url),
        [kind, url] if kind == "acceptance" => acceptance(url),
        _ => Err("usage: check smoke|acceptance URL".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("FAILED: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn smoke(url: &str) -> Result<(), String> {
    expect(url, "/health/live", "alive")?;
    expect(url, "/health/ready", "ready")?;
    expect(url, "/version", ".")?;
    expect(url, "/", "This is shop")
}

fn acceptance(url: &str) -> Result<(), String> {
    smoke(url)?;
    for order in 1..=20 {
        buy(url).map_err(|problem| format!("order {order}: {problem}"))?;
    }
    println!("ok: 20 customers got their fruit");
    Ok(())
}

/// Orders as customers do: who gets an error tries again. So this check does not see how many errors there are.
fn buy(url: &str) -> Result<(), String> {
    let mut last = String::new();
    for _ in 0..TRIES {
        let (status, body) = get(url, "/order")?;
        if status == 200 {
            return Ok(());
        }
        last = format!("{status}: {}", body.trim());
    }
    Err(format!("{TRIES} tries failed, the last one with {last}"))
}

fn expect(url: &str, path: &str, text: &str) -> Result<(), String> {
    let (status, body) = get(url, path)?;
    if status != 200 || !body.contains(text) {
        return Err(format!("{path} answered {status} with {body:?}; 200 with {text:?} was expected"));
    }
    println!("ok: {path} answered {}", body.trim());
    Ok(())
}

fn get(url: &str, path: &str) -> Result<(u16, String), String> {
    let authority = url.trim_start_matches("http://").trim_end_matches('/');
    let failed = |error: std::io::Error| format!("{authority}{path}: {error}");
    let mut stream = TcpStream::connect(authority).map_err(failed)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(failed)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n").map_err(failed)?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(failed)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or("the answer was not HTTP")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or("the answer had no status")?, body.to_owned()))
}
