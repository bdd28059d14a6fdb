//! Asks over the network whether a Service can be used.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use towpath_api::containers::ServiceOrder;

use super::http::{Ended, Wait};
use super::service::Faulty;

/// How long a connection, and an answer, may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a connection has to stay open before it counts.
///
/// Docker takes connections to a published port itself, and closes them at once while nobody listens behind it.
const KEPT: Duration = Duration::from_millis(150);

/// Where to ask.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
}

/// Looks at a Service until it can be used, has ended, or its time is up. A look says why it is not ready yet.
pub(super) fn until_ready(
    order: &ServiceOrder,
    wait: Wait<'_>,
    mut look: impl FnMut() -> Result<Result<(), String>, Faulty>,
) -> Result<(), Faulty> {
    let within = Duration::try_from(order.health.within).unwrap_or_default();
    let period = Duration::try_from(order.health.period).unwrap_or_default();
    let until = Instant::now() + within;
    loop {
        let Err(why) = look()? else { return Ok(()) };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Faulty::NotReady(why));
        }
        match wait.sleep(period.min(left)) {
            Ok(()) => {}
            Err(Ended::Cancelled) => return Err(Faulty::Cancelled),
            Err(Ended::Deadline) => return Err(Faulty::NotReady(why)),
        }
    }
}

/// A port takes a connection and keeps it, or says something.
pub(super) fn tcp(target: &Target) -> Result<(), String> {
    let mut stream = connect(target)?;
    let failed = |error: io::Error| format!("port {}: {error}", target.port);
    stream.set_read_timeout(Some(KEPT)).map_err(failed)?;
    match stream.read(&mut [0; 1]) {
        Ok(0) => Err(format!("port {} closes connections at once", target.port)),
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// A GET is answered with 2xx.
pub(super) fn http(target: &Target, path: &str) -> Result<(), String> {
    let mut stream = connect(target)?;
    let failed = |error: io::Error| format!("GET {path}: {error}");
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {}:{}\r\nUser-Agent: towpath\r\nConnection: close\r\n\r\n",
        target.host, target.port
    );
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < 256 && stream.read(&mut byte).map_err(failed)? == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&line).trim().to_owned();
    let status = line.split(' ').nth(1).unwrap_or_default();
    if line.starts_with("HTTP/") && status.len() == 3 && status.starts_with('2') {
        Ok(())
    } else if line.is_empty() {
        Err(format!("GET {path}: the connection was closed without an answer"))
    } else {
        Err(format!("GET {path} was answered with `{line}`"))
    }
}

fn connect(target: &Target) -> Result<TcpStream, String> {
    let failed = |error: io::Error| format!("port {}: {error}", target.port);
    let address = (target.host.as_str(), target.port).to_socket_addrs().map_err(failed)?.next();
    let address = address.ok_or_else(|| format!("port {}: it has no address", target.port))?;
    TcpStream::connect_timeout(&address, PATIENCE).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that answers one connection with `answer`, or holds it where there is none.
    fn target(answer: Option<&'static str>) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            match answer {
                Some(answer) => {
                    let _read = stream.read(&mut [0; 1024]);
                    stream.write_all(answer.as_bytes()).unwrap();
                }
                None => std::thread::sleep(Duration::from_secs(1)),
            }
        });
        Target { host: "127.0.0.1".to_owned(), port }
    }

    #[test]
    fn a_connection_counts_only_when_it_is_kept() {
        assert_eq!(tcp(&target(None)), Ok(()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let refusing = std::thread::spawn(move || drop(listener.accept()));
        let closed = tcp(&Target { host: "127.0.0.1".to_owned(), port });
        assert_eq!(closed, Err(format!("port {port} closes connections at once")));
        refusing.join().unwrap();
        assert!(tcp(&Target { host: "127.0.0.1".to_owned(), port }).unwrap_err().contains("refused"));
    }

    #[test]
    fn only_2xx_is_healthy() {
        assert_eq!(http(&target(Some("HTTP/1.1 204 No Content\r\n\r\n")), "/"), Ok(()));
        let ill = http(&target(Some("HTTP/1.1 503 Starting\r\n\r\n")), "/ready").unwrap_err();
        assert_eq!(ill, "GET /ready was answered with `HTTP/1.1 503 Starting`");
        assert!(http(&target(Some("220 smtp\r\n")), "/").is_err());
        assert!(http(&target(Some("")), "/").unwrap_err().contains("without an answer"));
    }
}
