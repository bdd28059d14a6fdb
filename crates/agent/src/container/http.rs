//! One HTTP/1.1 request over a Unix socket: all that the API of a container engine asks for.
//!
//! Blocking, as the executor is, and each wait ends: with an answer, at its deadline, or when the Attempt is cancelled.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::executor::Cancel;

/// The longest head of an answer.
const HEAD: usize = 64 * 1024;

/// As much as is read at once where less was asked for.
const AHEAD: usize = 8 * 1024;

/// The longest answer that is read as a whole.
const WHOLE: u64 = 64 << 20;

/// How long an engine is waited for, and by what the waiting is ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wait<'a> {
    until: Instant,
    cancel: Option<&'a Cancel>,
}

impl Wait<'static> {
    /// Waits for that long, whatever happens to the Attempt: for what has to be cleared away.
    pub(crate) fn patiently(time: Duration) -> Self {
        Self { until: Instant::now() + time, cancel: None }
    }
}

impl<'a> Wait<'a> {
    /// Waits until then, or until the Attempt is cancelled.
    pub(crate) const fn until(until: Instant, cancel: &'a Cancel) -> Self {
        Self { until, cancel: Some(cancel) }
    }

    /// The same, but no longer than `time`.
    pub(super) fn at_most(self, time: Duration) -> Self {
        Self { until: self.until.min(Instant::now() + time), ..self }
    }

    /// How it ended, where it has.
    pub(super) fn check(&self) -> Result<(), Ended> {
        if self.cancel.is_some_and(|cancel| cancel.reason().is_some()) {
            Err(Ended::Cancelled)
        } else if Instant::now() >= self.until {
            Err(Ended::Deadline)
        } else {
            Ok(())
        }
    }

    /// Sleeps, unless the waiting ends before.
    pub(super) fn sleep(&self, time: Duration) -> Result<(), Ended> {
        let until = self.until.min(Instant::now() + time);
        while Instant::now() < until {
            self.check()?;
            let asked = self.cancel.map(Cancel::descriptor).transpose();
            asked.and_then(|cancel| wait_for(None, cancel, until)).map_err(|_| Ended::Deadline)?;
        }
        self.check()
    }
}

/// Why a wait was over before its answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Ended {
    #[error("it took too long")]
    Deadline,
    #[error("the attempt was cancelled")]
    Cancelled,
}

impl From<Ended> for io::Error {
    fn from(ended: Ended) -> Self {
        let kind = match ended {
            Ended::Deadline => io::ErrorKind::TimedOut,
            Ended::Cancelled => io::ErrorKind::ConnectionAborted,
        };
        Self::new(kind, ended)
    }
}

/// Waits until `source` or `cancel` has news, or the moment has come; says which of the two it was.
pub(super) fn wait_for(
    source: Option<BorrowedFd<'_>>,
    cancel: Option<BorrowedFd<'_>>,
    until: Instant,
) -> io::Result<(bool, bool)> {
    let sources = [source, cancel];
    let mut fds: Vec<PollFd<'_>> =
        sources.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    let left = until.saturating_duration_since(Instant::now()).min(Duration::from_secs(3600));
    let left = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
    match poll(&mut fds, Some(&left)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut news = fds.iter().map(|fd| !fd.revents().is_empty());
    let mut of = |source: &Option<BorrowedFd<'_>>| source.is_some() && news.next().unwrap_or(false);
    Ok((of(&sources[0]), of(&sources[1])))
}

/// What is asked for.
pub(super) struct Request<'a> {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Body<'a>,
}

/// What goes with a request.
pub(super) enum Body<'a> {
    None,
    Json(Vec<u8>),
    /// A tar of any length, sent in chunks.
    Tar(&'a mut dyn Read),
}

/// An answer whose body has not been read.
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    body: Framing,
    connection: Connection<'a>,
}

/// How the end of a body is known.
#[derive(Debug, Clone, Copy)]
enum Framing {
    Length(u64),
    /// Bytes left of the current chunk.
    Chunked(u64),
    /// The last chunk was read.
    Ended,
    UntilClosed,
}

/// A connection for one request, with what was read too far.
struct Connection<'a> {
    stream: UnixStream,
    read_ahead: Vec<u8>,
    taken: usize,
    wait: Wait<'a>,
}

/// Sends a request and reads the head of the answer.
pub(super) fn send<'a>(socket: &Path, request: Request<'_>, wait: Wait<'a>) -> io::Result<Answer<'a>> {
    let mut stream = UnixStream::connect(socket)?;
    // A reader that stopped reading must not hold this thread longer than the wait.
    stream.set_write_timeout(Some(
        wait.until.saturating_duration_since(Instant::now()).max(Duration::from_secs(1)),
    ))?;
    let Request { method, path, headers, body } = request;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: engine\r\n");
    for (name, value) in headers {
        // A value comes from a pipeline file at times: it must not begin another header.
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let framing = match &body {
        Body::None => "Content-Length: 0\r\n".to_owned(),
        Body::Json(json) => format!("Content-Type: application/json\r\nContent-Length: {}\r\n", json.len()),
        Body::Tar(_) => "Content-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n".to_owned(),
    };
    head.push_str(&framing);
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    match body {
        Body::None => {}
        Body::Json(json) => stream.write_all(&json)?,
        Body::Tar(tar) => send_chunks(&mut stream, tar, &wait)?,
    }
    let mut connection = Connection { stream, read_ahead: Vec::new(), taken: 0, wait };
    let (status, framing) = connection.head()?;
    Ok(Answer { status, body: framing, connection })
}

fn send_chunks(stream: &mut UnixStream, from: &mut dyn Read, wait: &Wait<'_>) -> io::Result<()> {
    let mut buffer = vec![0; 128 * 1024];
    loop {
        wait.check()?;
        let count = from.read(&mut buffer)?;
        let sent = write!(stream, "{count:x}\r\n")
            .and_then(|()| stream.write_all(&buffer[..count]))
            .and_then(|()| stream.write_all(b"\r\n"));
        match sent {
            // It has answered already and reads no further: the answer says why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            sent => sent?,
        }
        if count == 0 {
            return Ok(());
        }
    }
}

impl Connection<'_> {
    fn head(&mut self) -> io::Result<(u16, Framing)> {
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let mut buffer = vec![0; 8 * 1024];
        loop {
            let count = self.read_more(&mut buffer)?;
            if count == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the engine closed the connection"));
            }
            self.read_ahead.extend_from_slice(&buffer[..count]);
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut response = httparse::Response::new(&mut headers);
            match response.parse(&self.read_ahead) {
                Ok(httparse::Status::Complete(length)) => {
                    let status = response.code.ok_or_else(|| bad("an answer without a status"))?;
                    let framing = framing(status, response.headers);
                    self.taken = length;
                    return Ok((status, framing));
                }
                Ok(httparse::Status::Partial) if self.read_ahead.len() < HEAD => {}
                Ok(httparse::Status::Partial) => return Err(bad("the head of the answer has no end")),
                Err(error) => return Err(bad(&format!("the answer is not HTTP: {error}"))),
            }
        }
    }

    /// Reads from the socket once it has something.
    fn read_more(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.wait.check()?;
            let cancel = self.wait.cancel.map(Cancel::descriptor).transpose()?;
            let (readable, _) = wait_for(Some(self.stream.as_fd()), cancel, self.wait.until)?;
            if readable {
                return self.stream.read(buffer);
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        let mut byte = [0];
        while line.len() < 1024 {
            if self.read(&mut byte)? == 0 {
                break;
            }
            if byte[0] == b'\n' {
                return Ok(String::from_utf8_lossy(&line).trim().to_owned());
            }
            line.push(byte[0]);
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "a chunk of the answer has no length"))
    }
}

impl Read for Connection<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read_ahead[self.taken..].is_empty() {
            if buffer.len() >= AHEAD {
                return self.read_more(buffer);
            }
            // The lengths of chunks are read byte by byte, and not by a system call each.
            let mut ahead = vec![0; AHEAD];
            let count = self.read_more(&mut ahead)?;
            ahead.truncate(count);
            (self.read_ahead, self.taken) = (ahead, 0);
        }
        let ahead = &self.read_ahead[self.taken..];
        let count = ahead.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ahead[..count]);
        self.taken += count;
        Ok(count)
    }
}

fn framing(status: u16, headers: &[httparse::Header<'_>]) -> Framing {
    let value = |name: &str| {
        let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    };
    if status == 204 || status == 304 {
        Framing::Ended
    } else if status == 101 {
        Framing::UntilClosed
    } else if value("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        Framing::Chunked(0)
    } else if let Some(length) = value("content-length").and_then(|value| value.parse().ok()) {
        Framing::Length(length)
    } else {
        Framing::UntilClosed
    }
}

impl Answer<'_> {
    /// All of the body.
    pub(super) fn whole(self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.take(WHOLE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > WHOLE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer of the engine is too long"));
        }
        Ok(bytes)
    }

    /// The connection itself, for what is no HTTP any more, and what was read of it already.
    pub(super) fn into_stream(self) -> (UnixStream, Vec<u8>) {
        let Connection { stream, mut read_ahead, taken, wait: _ } = self.connection;
        read_ahead.drain(..taken);
        (stream, read_ahead)
    }
}

impl Read for Answer<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if let Framing::Chunked(0) = self.body {
            let line = self.connection.line()?;
            let length = line.split(';').next().unwrap_or_default();
            let length = u64::from_str_radix(length.trim(), 16)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("`{line}` is no length")))?;
            self.body = if length == 0 { Framing::Ended } else { Framing::Chunked(length) };
        }
        let space = buffer.len();
        let room = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(space);
        let short =
            || io::Error::new(io::ErrorKind::UnexpectedEof, "the engine ended its answer in the middle");
        match self.body {
            Framing::Ended | Framing::Length(0) => Ok(0),
            Framing::UntilClosed => self.connection.read(buffer),
            Framing::Length(left) => {
                let count = self.connection.read(&mut buffer[..room(left)])?;
                if count == 0 {
                    return Err(short());
                }
                self.body = Framing::Length(left - count as u64);
                Ok(count)
            }
            Framing::Chunked(left) => {
                let count = self.connection.read(&mut buffer[..room(left)])?;
                if count == 0 {
                    return Err(short());
                }
                self.body = Framing::Chunked(left - count as u64);
                if left == count as u64 {
                    self.connection.line()?;
                }
                Ok(count)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn ask(answer: &'static str, wait: Wait<'_>) -> io::Result<(u16, Vec<u8>)> {
        let place = tempfile::tempdir().unwrap();
        let socket = place.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let engine = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap();
            for piece in answer.as_bytes().chunks(3) {
                // Whoever has read enough hangs up before the rest is written.
                if stream.write_all(piece).is_err() {
                    break;
                }
            }
            if answer.is_empty() {
                std::thread::sleep(Duration::from_millis(400));
            }
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let headers = vec![("X-Test", "a\r\nX-Injected: b".to_owned())];
        let request = Request { method: "GET", path: "/info".to_owned(), headers, body: Body::None };
        let answer = send(&socket, request, wait).and_then(|answer| Ok((answer.status, answer.whole()?)));
        let heard = engine.join().unwrap();
        assert!(heard.contains("X-Test: aX-Injected: b\r\n"), "{heard}");
        answer
    }

    #[test]
    fn reads_bodies_however_they_end() {
        let wait = || Wait::patiently(Duration::from_secs(5));
        let body =
            |answer| ask(answer, wait()).map(|(status, body)| (status, String::from_utf8(body).unwrap()));
        assert_eq!(body("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap(), (200, "hello".into()));
        let chunked =
            "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n";
        assert_eq!(body(chunked).unwrap(), (404, "hello".into()));
        assert_eq!(body("HTTP/1.1 200 OK\r\n\r\nhello").unwrap(), (200, "hello".into()));
        assert_eq!(body("HTTP/1.1 204 No Content\r\n\r\n").unwrap(), (204, String::new()));
        let cut = ask("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", wait()).unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(ask("SMTP ready\r\n", wait()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn waits_no_longer_than_it_may() {
        let late = ask("", Wait::patiently(Duration::from_millis(100))).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        let cancel = Cancel::new();
        cancel.cancel(crate::executor::CancelReason::Cancelled("enough".to_owned()));
        let wait = Wait::until(Instant::now() + Duration::from_secs(60), &cancel);
        assert_eq!(ask("", wait).unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }
}
