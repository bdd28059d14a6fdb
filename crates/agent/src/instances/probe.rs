//! Asks an Instance whether it is well.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// As much of an answer as is read: the status line.
const STATUS_LINE: usize = 64;

/// Gets `path` over HTTP and passes on 2xx; without a path, passes when the port accepts.
///
/// The error says for a person what was wrong.
pub(super) async fn probe(address: SocketAddr, path: Option<&str>, time: Duration) -> Result<(), String> {
    match tokio::time::timeout(time, ask(address, path)).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(format!("{} did not answer within {time:?}", path.unwrap_or("the port"))),
    }
}

async fn ask(address: SocketAddr, path: Option<&str>) -> Result<(), String> {
    let refused = |error: std::io::Error| format!("{address} does not answer: {error}");
    let mut stream = TcpStream::connect(address).await.map_err(refused)?;
    let Some(path) = path else { return Ok(()) };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: towpath-probe\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(refused)?;
    let mut answer = Vec::with_capacity(STATUS_LINE);
    while answer.len() < STATUS_LINE && !answer.contains(&b'\n') {
        if stream.read_buf(&mut answer).await.map_err(refused)? == 0 {
            break;
        }
    }
    let line = String::from_utf8_lossy(&answer);
    let line = line.lines().next().unwrap_or_default();
    match line
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5))
        .and_then(|code| code.parse::<u16>().ok())
    {
        Some(200..=299) => Ok(()),
        Some(code) => Err(format!("{path} answered {code}")),
        None => Err(format!("{path} answered something that is not HTTP")),
    }
}
