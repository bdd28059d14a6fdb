//! A mail server in a thread: takes mail by SMTP, writes it down, and refuses what it was told to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use towpath_artifact::SecretValue;
use towpath_engine::notify::{MailSecurity, Smtp};

/// A mail that came in.
#[derive(Debug, Clone, Default)]
pub struct Mail {
    /// As `MAIL FROM` has it.
    pub from: String,
    /// As each `RCPT TO` has it.
    pub to: Vec<String>,
    /// Headers and body.
    pub text: String,
}

impl Mail {
    /// The value of a header, its lines put together.
    pub fn header(&self, name: &str) -> Option<String> {
        let unfolded = self.text.replace("\r\n ", " ");
        let lines = unfolded.lines().take_while(|line| !line.is_empty());
        let mut values =
            lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned));
        values.next()
    }

    /// The body, as its encoding for mail would be read.
    pub fn body(&self) -> String {
        let body = self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        body.replace("=\r\n", "").replace("=3D", "=").replace("\r\n", "\n")
    }
}

#[derive(Debug, Default)]
struct State {
    taken: Vec<Mail>,
    /// What `RCPT TO` answers instead of 250, by address.
    refusals: Vec<(String, String)>,
    logins: Vec<String>,
}

/// It.
pub struct MailServer {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl MailServer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Self { port, state: Arc::default() };
        let state = Arc::clone(&server.state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        server
    }

    /// How the engine reaches it.
    pub fn smtp(&self) -> Smtp {
        let login = Some(("towpath".to_owned(), SecretValue::new(b"mail-secret\n".to_vec())));
        let from = "Towpath <towpath@example.com>".to_owned();
        Smtp { host: "127.0.0.1".to_owned(), port: self.port, security: MailSecurity::None, login, from }
    }

    /// Answers so for mail to an address; with an empty answer it takes it again.
    pub fn refuses(&self, address: &str, answer: &str) {
        let mut state = self.state.lock().unwrap();
        state.refusals.retain(|(refused, _)| refused != address);
        if !answer.is_empty() {
            state.refusals.push((address.to_owned(), answer.to_owned()));
        }
    }

    pub fn taken(&self) -> Vec<Mail> {
        self.state.lock().unwrap().taken.clone()
    }

    /// What clients signed in with, as they sent it.
    pub fn logins(&self) -> Vec<String> {
        self.state.lock().unwrap().logins.clone()
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut mail = Mail::default();
    stream.write_all(b"220 mail.test ESMTP\r\n")?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        let said = line.trim_end().to_owned();
        line.clear();
        let address = || said.split_once('<').and_then(|(_, rest)| Some(rest.split_once('>')?.0.to_owned()));
        let answer = match said.split([' ', ':']).next().unwrap_or_default().to_uppercase().as_str() {
            "EHLO" => "250-mail.test\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN".to_owned(),
            "AUTH" => {
                state.lock().unwrap().logins.push(said.clone());
                "235 welcome".to_owned()
            }
            "MAIL" => {
                mail = Mail { from: address().unwrap_or_default(), ..Mail::default() };
                "250 ok".to_owned()
            }
            "RCPT" => {
                let address = address().unwrap_or_default();
                let refusals = state.lock().unwrap().refusals.clone();
                mail.to.push(address.clone());
                let refusal = refusals.into_iter().find(|(refused, _)| *refused == address);
                refusal.map_or_else(|| "250 ok".to_owned(), |(_, answer)| answer)
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n")?;
                while reader.read_line(&mut line)? > 0 && line != ".\r\n" {
                    mail.text.push_str(&line);
                    line.clear();
                }
                line.clear();
                state.lock().unwrap().taken.push(std::mem::take(&mut mail));
                "250 taken".to_owned()
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n")?;
                return Ok(());
            }
            _ => "250 ok".to_owned(),
        };
        stream.write_all(format!("{answer}\r\n").as_bytes())?;
    }
    Ok(())
}
