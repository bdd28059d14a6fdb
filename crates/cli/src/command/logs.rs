//! `towpath logs`: what a job printed, while it prints it.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use towpath_artifact::parse_line;
use towpath_terminal::group::{heading_of, is_silent};

use crate::client::{Client, LogPiece, part};
use crate::context::Remote;
use crate::escape;
use crate::failure::is_unreachable;

/// How long the server may hold back an answer until the log has grown, in seconds.
const WAIT: u64 = 20;

/// How often a server that is away is asked for.
const COME_BACK: Duration = Duration::from_secs(1);

/// Shows the log of a job.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The project.
    project: String,
    /// The run's number.
    run: u64,
    /// The job.
    job: String,
    /// Which attempt; the newest if absent.
    #[arg(long)]
    attempt: Option<u32>,
    /// Goes on until the job ends.
    #[arg(short, long)]
    follow: bool,
    /// Shows when each line was printed.
    #[arg(long)]
    timestamps: bool,
}

/// Runs the command.
///
/// # Errors
/// Fails where the server refuses, or is not there and nobody follows.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    let mut reading = Reading::new(&args);
    let mut away = false;
    loop {
        let piece = match client.log(&reading.path()).await {
            Ok(piece) => piece,
            // A server that restarts has every acknowledged byte: the log goes on where it was.
            Err(error) if args.follow && is_unreachable(&error) && reading.begun => {
                if !away {
                    anstream::eprintln!("the server is away; the log goes on when it is back");
                }
                away = true;
                tokio::time::sleep(COME_BACK).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        away = false;
        let more = reading.take(&piece, args.timestamps)?;
        let goes_on = more || (args.follow && piece.open);
        if !goes_on {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// How far a log was read.
struct Reading {
    /// The address, without where to go on.
    base: String,
    attempt: Option<u32>,
    offset: u64,
    /// How long the server may wait for news before it answers with nothing.
    wait: u64,
    /// Bytes of a line that has not ended yet.
    rest: Vec<u8>,
    /// Whether the server has answered once.
    begun: bool,
}

impl Reading {
    fn new(args: &Args) -> Self {
        let (project, job) = (part(&args.project), part(&args.job));
        Self {
            base: format!("/api/v1/projects/{project}/runs/{}/jobs/{job}/log", args.run),
            attempt: args.attempt,
            offset: 0,
            wait: if args.follow { WAIT } else { 0 },
            rest: Vec::new(),
            begun: false,
        }
    }

    fn path(&self) -> String {
        let attempt = self.attempt.map(|attempt| format!("&attempt={attempt}")).unwrap_or_default();
        format!("{}?offset={}&wait={}{attempt}", self.base, self.offset, self.wait)
    }

    /// Prints whole lines, and the rest at the end; says whether there was news.
    fn take(&mut self, piece: &LogPiece, timestamps: bool) -> std::io::Result<bool> {
        let news = piece.next > self.offset;
        self.offset = piece.next;
        // Another attempt may start meanwhile; this one is read to its end.
        self.attempt = self.attempt.or(piece.attempt);
        self.begun = true;
        self.rest.extend_from_slice(&piece.bytes);
        let ended = !news && !piece.open;
        let whole = match self.rest.iter().rposition(|byte| *byte == b'\n') {
            _ if ended => self.rest.len(),
            Some(last) => last + 1,
            None => 0,
        };
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        print(&lines, timestamps)?;
        Ok(news)
    }
}

/// Prints lines of a log as people read them.
///
/// # Errors
/// Fails where nobody reads any more.
pub fn print(lines: &[u8], timestamps: bool) -> std::io::Result<()> {
    let mut out = anstream::stdout().lock();
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        match parse_line(line) {
            Some(line) => {
                let text = String::from_utf8_lossy(line.text);
                if is_silent(&text) {
                    continue;
                }
                if timestamps {
                    write!(out, "{} ", line.at)?;
                }
                match heading_of(&text) {
                    Some(title) => writeln!(out, "▸ {title}")?,
                    None => writeln!(out, "{}", escape::for_stdout(&text))?,
                }
            }
            None => out.write_all(escape::for_stdout(&String::from_utf8_lossy(line)).as_bytes())?,
        }
    }
    out.flush()
}
