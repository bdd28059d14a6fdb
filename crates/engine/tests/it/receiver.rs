//! Another system in a thread: takes requests, writes them down, and answers as it was told to.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request that came in.
#[derive(Debug, Clone)]
pub struct Taken {
    pub path: String,
    /// By lower-case name.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Taken {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// It.
pub struct Receiver {
    port: u16,
    taken: Arc<Mutex<Vec<Taken>>>,
    answer: Arc<Mutex<(u16, String)>>,
}

impl Receiver {
    /// Answers with a status and a body until it is told another.
    pub fn start(status: u16, body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let receiver =
            Self { port, taken: Arc::default(), answer: Arc::new(Mutex::new((status, body.to_owned()))) };
        let (taken, answer) = (Arc::clone(&receiver.taken), Arc::clone(&receiver.answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = serve(stream, &taken, &answer);
            }
        });
        receiver
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn answers(&self, status: u16, body: &str) {
        *self.answer.lock().unwrap() = (status, body.to_owned());
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    taken: &Mutex<Vec<Taken>>,
    answer: &Mutex<(u16, String)>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    taken.lock().unwrap().push(Taken { path, headers, body: String::from_utf8_lossy(&body).into_owned() });
    let (status, body) = answer.lock().unwrap().clone();
    write!(stream, "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}
