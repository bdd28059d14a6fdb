//! What is large, and what never comes: a gigabyte of log, a body of 100 MB, a service that does not get ready.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

mod support;

use support::{World, free_port, shop, text};

/// A gigabyte in whole lines of 80 bytes, between a first and a last one.
const FLOOD: &str = "\
name: shop
on:
  push: { branches: [main] }
jobs:
  flood:
    executor: host
    steps:
      - run: |
          echo the beginning
          yes 0123456789012345678901234567890123456789012345678901234567890123456789012345678 | head -c 1073741840
          echo the end
";

/// Sends back the body that it gets; a GET is answered with a word.
const SHOP: &str = r#"
use std::io::{BufRead, BufReader, Read, Write};
fn main() {
    let address = format!("{}:{}", std::env::var("HOST").unwrap(), std::env::var("PORT").unwrap());
    for stream in std::net::TcpListener::bind(address).unwrap().incoming() {
        std::thread::spawn(move || {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut length, mut line) = (0, String::new());
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            if body.is_empty() { body = b"open".to_vec(); }
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).unwrap();
        });
    }
}
"#;

fn pipeline(command: &str) -> String {
    let workload = format!("command: {command}, health: {{ ready: /, start_within: 3s }}");
    shop::pipeline("shop", &workload, "deploy: { strategy: canary, steps: [{ weight: 10%, for: 1s }] }")
}

/// The most memory that a process ever held, in MiB.
fn peak_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[test]
fn a_gigabyte_of_log_is_cut_in_the_middle_and_nobody_holds_it_in_memory() {
    let world = World::start();
    world.ok(&["project", "create", "shop"]);
    world.push(&[("towpath.yaml", FLOOD)]);
    world.eventually("there is a run", || world.run(&["runs", "shop", "1"]).status.success());
    let said = world.ok(&["wait", "shop#1", "--timeout", "3m"]);
    assert!(said.starts_with("shop#1 passed"), "{said}");
    let log = world.ok(&["logs", "shop", "1", "flood"]);
    // The bound counts what each line costs beside its text.
    assert!((30 << 20..80 << 20).contains(&log.len()), "{} bytes are kept", log.len());
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.first(), Some(&"the beginning"));
    assert_eq!(lines.last(), Some(&"the end"));
    let gap = lines.iter().filter(|line| line.contains("left out")).collect::<Vec<_>>();
    assert!(gap.len() == 1 && (gap[0].contains("GB") || gap[0].contains("MB")), "{gap:?}");
    let peak = peak_memory(world.server());
    assert!(peak < 150, "the server held {peak} MiB");
}

/// One request; the answer's body.
fn request(port: u16, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let shop::Answer { status, body } = shop::request(("127.0.0.1", port), body)?;
    if status == "200" { Ok(body) } else { Err(std::io::Error::other(status + &text(&body))) }
}

#[test]
fn large_bodies_pass_whole_and_a_service_that_is_never_ready_gets_no_traffic() {
    let world = World::start();
    let port = free_port();
    world.make_shop(&shop::document(&format!("127.0.0.1:{port}"), "instances: 1"));
    shop::compile(&world, SHOP, &world.work().join("shop"));
    world.push(&[("towpath.yaml", &pipeline("./shop"))]);
    world.eventually("the service serves", || request(port, b"").is_ok_and(|body| body == b"open"));

    // 100 MB up and down again, of bytes that do not repeat.
    let mut state = 1_u32;
    let body: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(100_000_000)
    .collect();
    let back = request(port, &body).unwrap();
    assert!(back == body, "{} of {} bytes came back, or others", back.len(), body.len());

    world.push(&[("towpath.yaml", &pipeline("sleep 1000"))]);
    let outcome = || {
        let history = world.json(&["env", "history", "shop/edge"]);
        history[0]["outcome"].clone()
    };
    world.eventually("the promotion has ended", || {
        assert_eq!(request(port, b"").unwrap(), b"open", "a request failed while the candidate started");
        outcome()["type"] == "rolled-back"
    });
    let reason = outcome()["reason"].to_string();
    assert!(reason.contains("not ready within 3 s") || reason.contains("not ready within 3s"), "{reason}");
    assert_eq!(request(port, b"").unwrap(), b"open");
}
