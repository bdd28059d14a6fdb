//! Every strategy that keeps a service up, on the real program: nobody's request fails because of a switch.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use support::{World, free_port, shop, text};

/// Answers with the file `version`, which stands beside it; as an error where that says so.
const SHOP: &str = r#"
use std::io::{BufRead, BufReader, Write};
fn main() {
    let version = std::fs::read_to_string("version").unwrap();
    let status = if version.contains("broken") { "500 Broken" } else { "200 OK" };
    let ready = "200 OK";
    let address = format!("{}:{}", std::env::var("HOST").unwrap(), std::env::var("PORT").unwrap());
    for stream in std::net::TcpListener::bind(address).unwrap().incoming() {
        let version = version.clone();
        std::thread::spawn(move || {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut first, mut line) = (String::new(), String::new());
            reader.read_line(&mut first).unwrap();
            while reader.read_line(&mut line).unwrap_or(0) > 2 { line.clear(); }
            let status = if first.starts_with("GET /ready") { ready } else { status };
            let body = version.trim();
            write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        });
    }
}
"#;

fn pipeline(deploy: &str) -> String {
    let stage = format!(
        "deploy: {deploy}, analysis: {{ error_rate: {{ max_increase: 2pp, block: 2s }} }}, deadline: 3m"
    );
    shop::pipeline("shop, version", "command: ./shop, health: { ready: /ready, period: 1s }", &stage)
}

/// One request: the status line's number and the body.
fn request(port: u16) -> std::io::Result<String> {
    let answer = shop::request(("127.0.0.1", port), b"")?;
    Ok(format!("{} {}", answer.status, text(&answer.body)))
}

/// Users who ask without a pause until they are told to stop, and count what they were answered.
struct Users {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<BTreeMap<String, u64>>>,
}

impl Users {
    fn of(port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let one = |_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut answers = BTreeMap::new();
                while !stop.load(Ordering::Relaxed) {
                    let answer = request(port).unwrap_or_else(|error| format!("unanswered: {error}"));
                    *answers.entry(answer).or_default() += 1;
                    std::thread::sleep(Duration::from_millis(2));
                }
                answers
            })
        };
        let threads = (0..3).map(one).collect();
        Self { stop, threads }
    }

    /// What all of them were answered, and how often.
    fn answers(self) -> BTreeMap<String, u64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = BTreeMap::new();
        for thread in self.threads {
            for (answer, count) in thread.join().unwrap() {
                *all.entry(answer).or_default() += count;
            }
        }
        all
    }
}

struct Shop {
    world: World,
    port: u16,
}

impl Shop {
    /// A Project whose Environment has three Instances, of which version 1 runs.
    fn open() -> Self {
        let (world, port) = (World::start(), free_port());
        world.make_shop(&shop::document(&format!("127.0.0.1:{port}"), "instances: 3"));
        world.push(&[("towpath.yaml", shop::NOTHING)]);
        shop::compile(&world, SHOP, &world.work().join("shop"));
        let shop = Self { world, port };
        shop.release("v1", "{ strategy: recreate }");
        shop.world.eventually("version 1 serves", || request(port).is_ok_and(|answer| answer == "200 v1"));
        shop.ended("succeeded");
        shop
    }

    fn release(&self, version: &str, deploy: &str) {
        self.world.push(&[("version", version), ("towpath.yaml", &pipeline(deploy))]);
    }

    /// Promotions that have ended, newest first.
    fn history(&self) -> Vec<serde_json::Value> {
        let all = self.world.json(&["env", "history", "shop/edge"]);
        let ended = |promotion: &&serde_json::Value| promotion["outcome"].is_object();
        all.as_array().unwrap().iter().filter(ended).cloned().collect()
    }

    /// Waits until one more Promotion has ended, looking at the Environment meanwhile.
    fn next_ended(&self, outcome: &str, before: usize, mut look: impl FnMut(&serde_json::Value)) {
        self.world.eventually("the promotion has ended", || {
            look(&self.world.json(&["env", "show", "shop/edge"]));
            self.history().len() > before
        });
        self.ended(outcome);
    }

    fn ended(&self, outcome: &str) {
        self.world.eventually("a promotion has ended", || !self.history().is_empty());
        let last = &self.history()[0];
        assert_eq!(last["outcome"]["type"], outcome, "{last:#}");
    }
}

#[test]
fn a_rolling_replacement_stays_within_its_bounds_and_fails_nobody() {
    let shop = Shop::open();
    let users = Users::of(shop.port);
    let before = shop.history().len();
    shop.release("v2", "{ strategy: rolling, max_surge: 1, for: 2s }");
    let (mut most, mut batches) = (0, 0);
    shop.next_ended("succeeded", before, |environment| {
        let fleet =
            environment.pointer("/environment/fleet/instances").or(environment.pointer("/fleet/instances"));
        most = most.max(fleet.and_then(serde_json::Value::as_array).map_or(0, Vec::len));
        batches = batches.max(environment.to_string().matches("\"ordered_at\"").count());
    });
    let answers = users.answers();
    assert!(answers.keys().all(|answer| answer == "200 v1" || answer == "200 v2"), "{answers:?}");
    assert!(answers.len() == 2, "{answers:?}");
    assert!((3..=4).contains(&most), "{most} Instances at once");
    assert_eq!(request(shop.port).unwrap(), "200 v2");
    let steps = shop.history()[0].pointer("/rollout/steps").and_then(|steps| steps.as_array().map(Vec::len));
    assert_eq!(steps, Some(2), "three batches of one, of which the last is not judged; {batches} seen");
}

#[test]
fn blue_green_switches_at_once_and_goes_back_at_once() {
    let shop = Shop::open();
    let users = Users::of(shop.port);
    let before = shop.history().len();
    shop.release("v2", "{ strategy: blue-green, watch: 2s, warm: 1h }");
    shop.next_ended("succeeded", before, |_| {});
    assert_eq!(request(shop.port).unwrap(), "200 v2");

    // A version that is ready and answers with errors: nobody but the judge can see it.
    shop.release("v3 broken", "{ strategy: blue-green, watch: 5s }");
    shop.next_ended("rolled-back", before + 1, |_| {});
    assert_eq!(request(shop.port).unwrap(), "200 v2");
    let answers = users.answers();
    let good = ["200 v1", "200 v2", "500 v3 broken"];
    assert!(answers.keys().all(|answer| good.contains(&answer.as_str())), "{answers:?}");
    assert!(answers.contains_key("500 v3 broken"), "it was never exposed: {answers:?}");
}
