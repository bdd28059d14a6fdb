//! `cargo xtask bench gateway`: requests per second and p99 with one thread and 64 connections, against HAProxy and nginx
//! in front of the same two backends. Everything is on loopback, and each round measures every peer once.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use super::backend;
use super::process::{Process, Scratch, free_address, is_there, spawn, wait_for};
use super::report;

/// What is asked for on the command line.
struct Options {
    binary: PathBuf,
    seconds: u32,
    rounds: u32,
}

/// One measurement of one peer.
#[derive(Debug, Clone, Copy, Serialize)]
struct Sample {
    requests_per_second: f64,
    p99_ms: f64,
    /// Processor time of the proxy per request: what it costs, however busy the machine is with other things.
    cpu_micros: f64,
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { requests_per_second, p99_ms, cpu_micros } = self;
        write!(
            f,
            "{requests_per_second:>9.0} requests/s   p99 {p99_ms:>7.2} ms   {cpu_micros:>6.2} µs of CPU"
        )
    }
}

/// What is written to the JSON file.
#[derive(Serialize)]
struct Report {
    cores: usize,
    connections: u32,
    seconds: u32,
    load_before: String,
    samples: BTreeMap<&'static str, Vec<Sample>>,
    median: BTreeMap<&'static str, Sample>,
    /// Requests per second of the gateway over those of each peer.
    ratio: BTreeMap<&'static str, f64>,
    /// The gateway's processor time per request over that of each peer.
    cpu_ratio: BTreeMap<&'static str, f64>,
    idle_rss_kib: u64,
    loaded_rss_kib: u64,
}

const CONNECTIONS: u32 = 64;

/// The gateway's name among its peers.
const OURS: &str = "towpath";

/// The backends alone, without a proxy: the ceiling.
const NO_PROXY: &str = "no proxy";

/// Measures, prints and writes `target/bench/gateway.json`.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let options = Options::read(words)?;
    ensure!(is_there("wrk"), "wrk makes the load and is missing; install it with: apt-get install wrk");
    let scratch = Scratch::new()?;
    let (backends, one, two) = start_backends()?;
    let mut peers: Vec<(&'static str, SocketAddr, Process)> = Vec::new();
    let listen = free_address()?;
    peers.push((OURS, listen, start_gateway(&options.binary, &scratch.0, listen, [one, two])?));
    for (name, start) in [("haproxy", start_haproxy as Start), ("nginx", start_nginx as Start)] {
        if !is_there(name) {
            println!("{name}: SKIPPED, not installed; install it with: apt-get install {name}");
            continue;
        }
        let listen = free_address()?;
        peers.push((name, listen, start(&scratch.0, listen, [one, two])?));
    }
    for (name, listen, _) in &peers {
        wait_for(*listen).with_context(|| format!("{name} does not listen"))?;
    }
    let idle_rss_kib = peers[0].2.rss_kib()?;
    let load_before = fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned();
    let samples = measure(&options, &peers, &backends, one)?;
    let report = Report {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        connections: CONNECTIONS,
        seconds: options.seconds,
        load_before,
        median: samples.iter().map(|(name, samples)| (*name, median(samples))).collect(),
        ratio: BTreeMap::new(),
        cpu_ratio: BTreeMap::new(),
        samples,
        idle_rss_kib,
        loaded_rss_kib: peers[0].2.rss_kib()?,
    };
    finish(report)
}

impl Options {
    fn read(words: &[&str]) -> Result<Self> {
        let built = ["target/release/towpath", "target/release/examples/gateway"].map(PathBuf::from);
        let mut binary = built.into_iter().find(|path| path.exists());
        let (mut seconds, mut rounds) = (5, 3);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let value = words.next().with_context(|| format!("{word} needs a value"))?;
            match *word {
                "--binary" => binary = Some(PathBuf::from(value)),
                "--seconds" => seconds = value.parse().context("--seconds")?,
                "--rounds" => rounds = value.parse().context("--rounds")?,
                _ => bail!("unknown option {word}; there are --binary FILE, --seconds N and --rounds N"),
            }
        }
        let binary = binary.context("no release binary; build one with: cargo build --release")?;
        ensure!((1..=60).contains(&seconds) && (1..=20).contains(&rounds), "1 to 60 seconds, 1 to 20 rounds");
        Ok(Self { binary, seconds, rounds })
    }
}

/// Every peer once per round, so that what else happens on the machine meets all of them.
fn measure(
    options: &Options,
    peers: &[(&'static str, SocketAddr, Process)],
    backends: &Process,
    direct: SocketAddr,
) -> Result<BTreeMap<&'static str, Vec<Sample>>> {
    let mut samples: BTreeMap<&'static str, Vec<Sample>> = BTreeMap::new();
    for (_, listen, process) in peers {
        wrk(*listen, process, 1)?;
    }
    let direct = [(NO_PROXY, direct, backends)];
    for round in 1..=options.rounds {
        let own = peers.iter().map(|(name, listen, process)| (*name, *listen, process));
        for (name, listen, process) in own.chain(direct) {
            let sample = wrk(listen, process, options.seconds)?;
            println!("round {round}  {name:<9} {sample}");
            samples.entry(name).or_default().push(sample);
        }
    }
    Ok(samples)
}

fn finish(mut report: Report) -> Result<()> {
    let ours = report.median[OURS];
    println!("\nmedians, {CONNECTIONS} connections, one thread each, {} cores shared by all:", report.cores);
    for (name, sample) in &report.median {
        let ratio = ours.requests_per_second / sample.requests_per_second;
        let cpu_ratio = ours.cpu_micros / sample.cpu_micros;
        if [OURS, NO_PROXY].contains(name) {
            println!("{name:<9} {sample}");
        } else {
            println!(
                "{name:<9} {sample}   towpath: {ratio:.2}x the rate, {cpu_ratio:.2}x the CPU per request"
            );
        }
        report.ratio.insert(name, ratio);
        report.cpu_ratio.insert(name, cpu_ratio);
    }
    println!(
        "memory of the gateway: {} KiB idle, {} KiB after the load",
        report.idle_rss_kib, report.loaded_rss_kib
    );
    report::write("gateway", &report)
}

fn median(samples: &[Sample]) -> Sample {
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Sample {
        requests_per_second: middle(samples.iter().map(|sample| sample.requests_per_second).collect()),
        p99_ms: middle(samples.iter().map(|sample| sample.p99_ms).collect()),
        cpu_micros: middle(samples.iter().map(|sample| sample.cpu_micros).collect()),
    }
}

/// Runs `wrk` with one thread; a single failed request fails the benchmark.
fn wrk(address: SocketAddr, process: &Process, seconds: u32) -> Result<Sample> {
    let before = process.cpu_seconds()?;
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s"), "--latency"])
        .arg(format!("http://{address}/"))
        .output()
        .context("cannot run wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk failed: {text}");
    ensure!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "requests failed: {text}");
    let field = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
    let rate = field("Requests/sec:").context("wrk printed no rate")?;
    let p99 = field("99%").context("wrk printed no p99")?;
    let all =
        text.lines().find_map(|line| line.split_once(" requests in ")).context("wrk printed no number")?.0;
    let cpu_micros = (process.cpu_seconds()? - before) * 1e6 / all.trim().parse::<f64>()?;
    Ok(Sample { requests_per_second: rate.parse()?, p99_ms: millis(p99)?, cpu_micros })
}

/// Reads a duration as wrk prints it: `850.00us`, `1.25ms`, `1.02s`.
fn millis(text: &str) -> Result<f64> {
    let end = text.find(|c: char| c.is_ascii_alphabetic()).context("a duration without a unit")?;
    let (number, unit) = text.split_at(end);
    let factor = match unit {
        "us" => 0.001,
        "ms" => 1.0,
        "s" => 1000.0,
        _ => bail!("unknown unit {unit}"),
    };
    Ok(number.parse::<f64>()? * factor)
}

type Start = fn(&Path, SocketAddr, [SocketAddr; 2]) -> Result<Process>;

/// Starts the backends from an optimised build of this program, so that they are not what is measured.
fn start_backends() -> Result<(Process, SocketAddr, SocketAddr)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo).args(["build", "--release", "--quiet", "--package", "xtask"]).status()?;
    ensure!(built.success(), "the backends do not compile");
    let program = "target/release/xtask";
    let mut child = Command::new(program).args(["bench", backend::WORD]).stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("the backends have no output")?;
    let process = Process(child);
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let (one, two) = line.trim().split_once(' ').context("the backends told no addresses")?;
    Ok((process, one.parse()?, two.parse()?))
}

fn start_gateway(
    binary: &Path,
    scratch: &Path,
    listen: SocketAddr,
    backends: [SocketAddr; 2],
) -> Result<Process> {
    let arm = |revision: char, backend: SocketAddr| {
        let digest = format!("sha256:{}", revision.to_string().repeat(64));
        serde_json::json!({ "revision": digest, "weight": 500, "endpoints": [backend] })
    };
    let routes = serde_json::json!({ "generation": 1, "routes": [{
        "environment": { "project": "bench", "environment": "production" },
        "generation": 1,
        "listen": listen,
        "arms": [arm('a', backends[0]), arm('b', backends[1])],
    }] });
    fs::write(scratch.join("gateway/routes.json"), serde_json::to_vec(&routes)?)?;
    let mut command = Command::new(binary);
    if binary.file_name().is_some_and(|name| name == "gateway") {
        command.arg(scratch).arg("1");
    } else {
        command.args(["gateway", "--threads", "1", "--data-dir"]).arg(scratch);
    }
    spawn(&mut command)
}

fn start_haproxy(scratch: &Path, listen: SocketAddr, [one, two]: [SocketAddr; 2]) -> Result<Process> {
    let file = scratch.join("haproxy.cfg");
    let text = format!(
        "global\n  nbthread 1\n  maxconn 4096\n\
         defaults\n  mode http\n  timeout connect 2s\n  timeout client 60s\n  timeout server 60s\n  option forwardfor\n\
         frontend bench\n  bind {listen}\n  default_backend both\n\
         backend both\n  balance roundrobin\n  http-reuse always\n  server one {one} weight 128\n  server two {two} weight 128\n"
    );
    fs::write(&file, text)?;
    spawn(Command::new("haproxy").arg("-q").arg("-db").arg("-f").arg(file))
}

fn start_nginx(scratch: &Path, listen: SocketAddr, [one, two]: [SocketAddr; 2]) -> Result<Process> {
    let file = scratch.join("nginx.conf");
    let (here, pid) = (scratch.display(), scratch.join("nginx.pid"));
    let text = format!(
        "daemon off; master_process off; worker_processes 1; pid {pid}; error_log {here}/nginx.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; keepalive_requests 100000000; tcp_nodelay on;\n\
         client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/fastcgi;\n\
         uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi;\n\
         upstream both {{ server {one}; server {two}; keepalive 64; keepalive_requests 100000000; }}\n\
         server {{ listen {listen}; location / {{ proxy_pass http://both; proxy_http_version 1.1;\n\
         proxy_set_header Connection \"\"; proxy_set_header Host $host;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }} }}\n",
        pid = pid.display(),
    );
    fs::write(&file, text)?;
    spawn(Command::new("nginx").arg("-c").arg(file).arg("-p").arg(scratch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_wrk_prints() {
        for (text, expected) in [("850.00us", 0.85), ("1.25ms", 1.25), ("1.02s", 1020.0)] {
            assert!((millis(text).unwrap() - expected).abs() < 1e-9, "{text}");
        }
        assert!(millis("3").is_err());
    }
}
