//! `towpath logs`: what a job printed, while it prints it.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use towpath_artifact::parse_line;

use crate::client::{Client, part};
use crate::context::Remote;

/// How often a log that grows is asked for.
const ASK_EVERY: Duration = Duration::from_millis(500);

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
/// Fails where the server refuses.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    let (project, job) = (part(&args.project), part(&args.job));
    let attempt = args.attempt.map(|attempt| format!("&attempt={attempt}")).unwrap_or_default();
    let mut offset = 0;
    let mut rest = Vec::new();
    loop {
        let path =
            format!("/api/v1/projects/{project}/runs/{}/jobs/{job}/log?offset={offset}{attempt}", args.run);
        let piece = client.log(&path).await?;
        let news = piece.next > offset;
        offset = piece.next;
        rest.extend_from_slice(&piece.bytes);
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let lines: Vec<u8> = rest.drain(..whole).collect();
        print(&lines, args.timestamps)?;
        if news {
            continue;
        }
        if !args.follow || !piece.open {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

fn print(lines: &[u8], timestamps: bool) -> std::io::Result<()> {
    let mut out = anstream::stdout().lock();
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        match parse_line(line) {
            Some(line) => {
                if timestamps {
                    write!(out, "{} ", line.at)?;
                }
                out.write_all(line.text)?;
                out.write_all(b"\n")?;
            }
            None => out.write_all(line)?,
        }
    }
    out.flush()
}
