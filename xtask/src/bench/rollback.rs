//! `cargo xtask bench rollback`: from the decision that a candidate goes back until the last request that was sent to it.
//!
//! A real service is built, released and canaried by a real server. While connections send requests without a pause, the decision is
//! made by command, which from then on is the way that an unhealthy verdict takes, too. Each round promotes the same
//! candidate again.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use super::options::Options;
use super::process::free_address;
use super::report::{self, median, quantile};
use super::world::{World, poll};

const PIPELINE: &str = r#"name: back
jobs:
  build:
    steps: [rustc -O -o service service.rs]
    artifacts: { back: service }
workloads:
  back: { command: ./service, health: { period: 1s } }
stages:
  - name: production
    promote: manual
    deploy: { strategy: canary, steps: [{ weight: 50%, for: 1h }] }
"#;

/// Answers every request with its version, on connections that are kept.
const SERVICE: &str = r#"use std::io::{BufRead, BufReader, Write};
fn main() {
    let at = format!("{}:{}", std::env::var("HOST").unwrap(), std::env::var("PORT").unwrap());
    for stream in std::net::TcpListener::bind(at).unwrap().incoming().flatten() {
        std::thread::spawn(move || {
            let mut out = stream.try_clone().unwrap();
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if line.is_empty() && out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nVERSION").is_err() {
                    return;
                }
            }
        });
    }
}
"#;

/// How many connections send requests.
const CONNECTIONS: usize = 4;

/// How long requests go on after the Environment says that it is done.
const AFTERWARDS: Duration = Duration::from_millis(300);

/// The goal, in milliseconds.
const GOAL: f64 = 250.0;

/// What is written to the JSON file; times in milliseconds.
#[derive(Serialize)]
struct Report {
    load: String,
    connections: usize,
    /// From the decision until the last request that the candidate got was begun.
    last_bad_request: Vec<f64>,
    requests: usize,
    failed: usize,
    p50: f64,
    p99: f64,
}

/// Measures, prints and writes `target/bench/rollback.json`.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let options = Options::read(words, 20)?;
    let world = World::start(&options.binary)?;
    let listen = free_address()?;
    let candidate = prepare(&world, listen)?;
    let (mut last_bad_request, mut requests, mut failed) = (Vec::new(), 0, 0);
    for round in 1..=options.rounds {
        let crowd = Crowd::start(listen);
        let wanted = json!({ "version": candidate, "override_quarantine": true });
        world.post(&format!("{PRODUCTION}/promote"), &wanted)?;
        poll("requests to the candidate", || crowd.saw(b'2').then_some(()))?;
        let decided = Instant::now();
        world.post(&format!("{PRODUCTION}/rollback"), &json!({ "comment": "measured" }))?;
        poll("the end of the way back", || environment(&world)?["active"].is_null().then_some(()))?;
        std::thread::sleep(AFTERWARDS);
        let answers = crowd.stop();
        let bad =
            answers.iter().filter(|answer| answer.version == Some(b'2')).map(|answer| answer.begun).max();
        let took = bad.map_or(0.0, |last| last.saturating_duration_since(decided).as_secs_f64() * 1000.0);
        println!("round {round:>3}   last request to the candidate {took:>7.1} ms after the decision");
        last_bad_request.push(took);
        requests += answers.len();
        failed += answers.iter().filter(|answer| answer.version.is_none()).count();
    }
    let (p50, p99) = (median(&last_bad_request), quantile(&last_bad_request, 0.99));
    println!(
        "\ndecision to no new request on the candidate: p50 {p50:.0} ms, p99 {p99:.0} ms of {} (goal: p99 at most {GOAL:.0} ms); \
         {failed} of {requests} requests failed",
        options.rounds
    );
    let report = Report {
        load: report::load(),
        connections: CONNECTIONS,
        last_bad_request,
        requests,
        failed,
        p50,
        p99,
    };
    report::write("rollback", &report)
}

const PRODUCTION: &str = "/api/v1/projects/back/environments/production";

/// Brings version 1 into production and has version 2 sealed; says what version 2 is called.
fn prepare(world: &World, listen: SocketAddr) -> Result<String> {
    let repository = world.project("back")?;
    let document = format!("environment: production\nproject: back\nlisten: {listen}\n");
    world.post("/api/v1/projects/back/apply", &json!({ "file": "production.yaml", "text": document }))?;
    let mut newest = String::new();
    for version in ["1", "2"] {
        let service = SERVICE.replace("VERSION", version);
        repository.commit(&[("towpath.yaml", PIPELINE), ("service.rs", &service)], version)?;
        repository.push()?;
        let number = version.parse::<usize>()?;
        newest = poll("the Release", || {
            let releases = world.get("/api/v1/projects/back/releases").ok()?;
            let items = releases["items"].as_array().filter(|items| items.len() == number)?;
            Some(items.first()?["version"].as_str()?.to_owned())
        })?;
        println!("version {version} is {newest}");
        if version == "1" {
            world.post(&format!("{PRODUCTION}/promote"), &json!({ "version": newest }))?;
            poll("version 1 in production", || {
                let environment = environment(world)?;
                (environment["active"].is_null() && !environment["current"].is_null()).then_some(())
            })?;
        }
    }
    Ok(newest)
}

fn environment(world: &World) -> Option<Value> {
    world.get(PRODUCTION).ok().map(|mut status| status["environment"].take())
}

/// When a request was begun, and who answered; `None` where nobody did.
struct Answer {
    begun: Instant,
    version: Option<u8>,
}

/// Connections that send one request after the other.
struct Crowd {
    stop: Arc<AtomicBool>,
    answers: Arc<Mutex<Vec<Answer>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Crowd {
    fn start(address: SocketAddr) -> Self {
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let threads = (0..CONNECTIONS)
            .map(|_| {
                let (stop, answers) = (Arc::clone(&stop), Arc::clone(&answers));
                std::thread::spawn(move || send(address, &stop, &answers))
            })
            .collect();
        Self { stop, answers, threads }
    }

    fn saw(&self, version: u8) -> bool {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.iter().any(|answer| answer.version == Some(version))
    }

    fn stop(self) -> Vec<Answer> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            // A thread that panicked has left its answers behind.
            let _ = thread.join();
        }
        std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn send(address: SocketAddr, stop: &AtomicBool, answers: &Mutex<Vec<Answer>>) {
    let mut connection = None;
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let version = match ask(address, &mut connection) {
            Ok(version) => Some(version),
            Err(error) => {
                println!("a request failed: {error:#}");
                connection = None;
                None
            }
        };
        answers.lock().unwrap_or_else(PoisonError::into_inner).push(Answer { begun, version });
        // A thousand requests a second and connection are enough to see a millisecond.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// One request; the last byte of the answer is the version.
fn ask(address: SocketAddr, connection: &mut Option<BufReader<TcpStream>>) -> Result<u8> {
    let stream = match connection {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            connection.insert(BufReader::new(stream))
        }
    };
    stream.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: back\r\n\r\n")?;
    let mut status = String::new();
    stream.read_line(&mut status)?;
    ensure!(status.starts_with("HTTP/1.1 200"), "{status}");
    let mut length = 0;
    loop {
        let mut line = String::new();
        ensure!(stream.read_line(&mut line)? > 0, "the answer broke off");
        let Some((name, value)) = line.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    body.last().copied().context("an empty answer")
}
