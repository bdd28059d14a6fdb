//! Asks an Instance whether it is well.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// As much of an answer as is read: the status line.
const STATUS_LINE: usize = 64;

/// How long a connection to an engine's door has to stay open before it counts.
const KEPT: Duration = Duration::from_millis(150);

/// Who takes connections at the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// The program itself.
    Program,
    /// A container engine, which takes them also while nobody listens behind it, and closes them at once then.
    Engine,
}

/// Gets `path` over HTTP and passes on 2xx; without a path, passes when the port accepts.
///
/// The error says for a person what was wrong.
pub(super) async fn probe(
    address: SocketAddr,
    path: Option<&str>,
    time: Duration,
    door: Door,
) -> Result<(), String> {
    match tokio::time::timeout(time, ask(address, path, door)).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(format!("{} did not answer within {time:?}", path.unwrap_or("the port"))),
    }
}

async fn ask(address: SocketAddr, path: Option<&str>, door: Door) -> Result<(), String> {
    let refused = |error: std::io::Error| format!("{address} does not answer: {error}");
    let mut stream = TcpStream::connect(address).await.map_err(refused)?;
    let Some(path) = path else {
        return match door {
            Door::Program => Ok(()),
            Door::Engine => stays_open(&mut stream, address).await,
        };
    };
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
        None if line.is_empty() => Err(format!("{path}: the connection was closed without an answer")),
        None => Err(format!("{path} answered something that is not HTTP")),
    }
}

async fn stays_open(stream: &mut TcpStream, address: SocketAddr) -> Result<(), String> {
    match tokio::time::timeout(KEPT, stream.read(&mut [0; 1])).await {
        Err(_still_open) => Ok(()),
        Ok(Ok(1..)) => Ok(()),
        Ok(Ok(0)) => Err(format!("{address} closes connections at once")),
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionReset => {
            Err(format!("{address} closes connections at once"))
        }
        Ok(Err(error)) => Err(format!("{address} does not answer: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_engine_that_takes_a_connection_and_drops_it_is_not_ready() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let dropping = tokio::spawn(async move {
            for _ in 0..2 {
                drop(listener.accept().await.unwrap());
            }
            listener
        });
        let time = Duration::from_secs(5);
        assert_eq!(probe(address, None, time, Door::Program).await, Ok(()));
        let closed = probe(address, None, time, Door::Engine).await;
        assert_eq!(closed, Err(format!("{address} closes connections at once")));
        let listener = dropping.await.unwrap();
        let holding = tokio::spawn(async move {
            let kept = listener.accept().await.unwrap();
            tokio::time::sleep(time).await;
            drop(kept);
        });
        assert_eq!(probe(address, None, time, Door::Engine).await, Ok(()));
        holding.abort();
    }
}
