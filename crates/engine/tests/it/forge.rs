//! A forge in a thread: a repository over plain HTTP, and an API that answers as it was told to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What came in.
#[derive(Debug, Clone)]
pub struct Asked {
    pub line: String,
    pub authorization: Option<String>,
    pub body: String,
}

/// The forge.
pub struct Forge {
    pub port: u16,
    pub asked: Arc<Mutex<Vec<Asked>>>,
    /// Answers to the next POSTs; after them each gets 201.
    pub answers: Arc<Mutex<Vec<&'static str>>>,
    /// Where every GET is sent instead.
    pub redirect: Arc<Mutex<Option<String>>>,
}

impl Forge {
    /// Serves a bare repository at `/o/r.git`.
    pub fn start(repository: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let forge = Self { port, asked: Arc::default(), answers: Arc::default(), redirect: Arc::default() };
        let (asked, answers, redirect) =
            (Arc::clone(&forge.asked), Arc::clone(&forge.answers), Arc::clone(&forge.redirect));
        let repository = repository.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = serve(stream, &repository, &asked, &answers, &redirect);
            }
        });
        forge
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/o/r.git", self.port)
    }

    /// The statuses that were posted: state and context, in order.
    pub fn posted(&self) -> Vec<(String, String)> {
        let asked = self.asked.lock().unwrap();
        let posts = asked.iter().filter(|asked| asked.line.starts_with("POST"));
        let pair = |asked: &Asked| {
            let body: serde_json::Value = serde_json::from_str(&asked.body).unwrap();
            let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            (text("state"), text("context"))
        };
        posts.map(pair).collect()
    }
}

fn serve(
    mut stream: TcpStream,
    repository: &Path,
    asked: &Mutex<Vec<Asked>>,
    answers: &Mutex<Vec<&'static str>>,
    redirect: &Mutex<Option<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or(0),
            "authorization" => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let path = line.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    let body = String::from_utf8_lossy(&body).into_owned();
    let is_post = line.starts_with("POST") || line.starts_with("PATCH");
    asked.lock().unwrap().push(Asked { line: line.trim().to_owned(), authorization, body });
    let (status, content): (String, Vec<u8>) = if path == "/api/v3/repos/o/r/installation" {
        ("200 OK".to_owned(), b"{\"id\":77}".to_vec())
    } else if path == "/api/v3/app/installations/77/access_tokens" {
        let until = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
        let made = serde_json::json!({ "token": "ghs_minted", "expires_at": until });
        ("201 Created".to_owned(), made.to_string().into_bytes())
    } else if is_post {
        let mut answers = answers.lock().unwrap();
        let status = if answers.is_empty() { "201 Created" } else { answers.remove(0) };
        (status.to_owned(), b"{\"id\":4}".to_vec())
    } else if let Some(to) = redirect.lock().unwrap().as_ref() {
        (format!("302 Found\r\nLocation: {to}{path}"), Vec::new())
    } else {
        let file: PathBuf = repository.join(path.trim_start_matches("/o/r.git/"));
        match std::fs::read(file) {
            Ok(content) => ("200 OK".to_owned(), content),
            Err(_) => ("404 Not Found".to_owned(), Vec::new()),
        }
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len())?;
    stream.write_all(&content)
}
