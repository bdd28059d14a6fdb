//! Just enough of an HTTP/1.1 server: GET, keep-alive, one thread for each connection.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::{VERSION, stop};

/// The longest line of a request.
const MAX_LINE: u64 = 8 * 1024;

/// How long requests under way may take once the shop was told to end.
const GRACE: Duration = Duration::from_secs(5);

/// What is answered.
pub struct Response {
    pub status: u16,
    pub body: String,
}

impl Response {
    pub fn new(status: u16, body: String) -> Self {
        Self { status, body }
    }

    fn write(&self, to: &mut TcpStream, close: bool) -> io::Result<()> {
        let reason = match self.status {
            200 => "OK",
            404 => "Not Found",
            500 => "Internal Server Error",
            _ => "Service Unavailable",
        };
        let connection = if close { "close" } else { "keep-alive" };
        let (status, length, body) = (self.status, self.body.len(), &self.body);
        // One write, one packet.
        let text = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
             X-Version: {VERSION}\r\nConnection: {connection}\r\n\r\n{body}"
        );
        to.write_all(text.as_bytes())
    }
}

type Answer = dyn Fn(&str) -> Response + Send + Sync;

/// Answers requests until the shop is told to end.
pub struct Server {
    answer: Box<Answer>,
    busy: AtomicUsize,
}

impl Server {
    pub fn new(answer: impl Fn(&str) -> Response + Send + Sync + 'static) -> Self {
        Self { answer: Box::new(answer), busy: AtomicUsize::new(0) }
    }

    /// Serves, and returns when the last request after the signal is answered.
    pub fn run(self: &Arc<Self>, listener: TcpListener) {
        let server = Arc::clone(self);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = Arc::clone(&server);
                thread::spawn(move || server.talk(stream));
            }
        });
        while !stop::requested() {
            thread::sleep(Duration::from_millis(20));
        }
        let deadline = Instant::now() + GRACE;
        while self.busy.load(Ordering::SeqCst) > 0 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn talk(&self, stream: TcpStream) {
        // A client that goes away is its own affair.
        let _ = self.try_talk(stream);
    }

    fn try_talk(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        loop {
            let Some(request) = read_request(&mut reader)? else { return Ok(()) };
            self.busy.fetch_add(1, Ordering::SeqCst);
            let close = request.close || stop::requested();
            let written = (self.answer)(&request.path).write(&mut stream, close);
            self.busy.fetch_sub(1, Ordering::SeqCst);
            written?;
            if close {
                return Ok(());
            }
        }
    }
}

struct Request {
    path: String,
    close: bool,
}

fn read_request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let first = read_line(reader)?;
    if first.is_empty() {
        return Ok(None);
    }
    let target = first.split_ascii_whitespace().nth(1).unwrap_or("/");
    let path = target.split('?').next().unwrap_or("/").to_owned();
    let mut close = first.trim_end().ends_with("HTTP/1.0");
    loop {
        let line = read_line(reader)?.to_ascii_lowercase();
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(Some(Request { path, close }));
        }
        close |= line.starts_with("connection:") && line.ends_with("close");
    }
}

fn read_line(reader: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    io::Read::take(reader, MAX_LINE).read_line(&mut line)?;
    Ok(line)
}
