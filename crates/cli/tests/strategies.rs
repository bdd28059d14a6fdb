//! Every strategy that keeps a service up, on the real program: nobody's request fails because of a switch.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

mod support;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
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

/// One request with more fields: the whole answer.
fn ask(port: u16, fields: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n{fields}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    text(&answer)
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
        Self::open_with("")
    }

    /// The same, with more in its Environment's document.
    fn open_with(more: &str) -> Self {
        let (world, port) = (World::start(), free_port());
        world.make_shop(&(shop::document(&format!("127.0.0.1:{port}"), "instances: 3") + more));
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

#[test]
fn a_candidate_is_checked_at_its_preview_address_before_any_user_meets_it() {
    let preview = free_port();
    let shop = Shop::open_with(&format!("preview: 127.0.0.1:{preview}\n"));
    assert!(request(preview).unwrap().starts_with("503 "), "nobody is on the way");
    let users = Users::of(shop.port);
    let before = shop.history().len();
    let checked = |wanted: &str| {
        format!(
            "{{ strategy: blue-green, before: [{{ http: {{ path: /, contains: {wanted}, within: 4s }} }}] }}"
        )
    };
    shop.release("v2", &checked("v9"));
    let mut seen = false;
    shop.next_ended("rolled-back", before, |_| {
        seen |= request(preview).is_ok_and(|answer| answer == "200 v2")
    });
    assert!(seen, "the candidate was never at its preview address");
    let answers = users.answers();
    assert_eq!(answers.keys().collect::<Vec<_>>(), ["200 v1"], "a user met what was only to be checked");

    shop.release("v3", &checked("v3"));
    shop.next_ended("succeeded", before + 1, |_| {});
    assert_eq!(request(shop.port).unwrap(), "200 v3");
    shop.world.eventually("the preview is over", || request(preview).is_ok_and(|it| it.starts_with("503 ")));
}

#[test]
fn testers_choose_their_side_and_clients_stay_on_theirs() {
    let shop = Shop::open();
    let before = shop.history().len();
    shop.release(
        "v2",
        "{ strategy: canary, steps: [{ weight: 30%, for: 2m }], sticky: { cookie: arm }, \
         routes: [{ header: X-Canary, equals: 'yes', to: candidate }] }",
    );
    let body = |answer: &str| answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned();
    let with = |fields: &str| ask(shop.port, fields);
    shop.world.eventually("testers reach the candidate", || body(&with("X-Canary: yes\r\n")) == "v2");
    for _ in 0..20 {
        assert_eq!(body(&with("x-canary: yes\r\n")), "v2");
    }
    let mut sides = BTreeMap::new();
    shop.world.eventually("clients are on both sides", || {
        let first = with("");
        let cookie = first.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap().to_owned();
        let (value, rest) = cookie.split_once(';').unwrap();
        assert!(value.starts_with("arm=") && rest.contains("Max-Age=3600"), "{cookie}");
        for _ in 0..5 {
            let again = with(&format!("Cookie: other=1; {value}\r\n"));
            assert_eq!(body(&again), body(&first), "a client changed its side");
            assert!(!again.contains("set-cookie"), "it knows its number already: {again}");
        }
        *sides.entry(body(&first)).or_insert(0) += 1;
        sides.len() == 2
    });
    let totals = || shop.world.json(&["env", "totals", "shop/edge"]);
    let routed = |all: &serde_json::Value| {
        let all = all.as_array().unwrap().clone();
        all.into_iter().find(|row| row["way"] == "routed").map_or(0, |row| row["requests"].as_u64().unwrap())
    };
    shop.world.eventually("testers are counted apart", || routed(&totals()) >= 21);
    shop.world.ok(&["rollback", "shop/edge"]);
    shop.next_ended("rolled-back", before, |_| {});
    assert_eq!(body(&with("X-Canary: yes\r\n")), "v1", "routes end with the way back");
    assert!(!with("").contains("set-cookie"), "there is no choice any more");
}

#[test]
fn users_come_encrypted_with_a_certificate_of_this_towpath() {
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: no curl; `apt-get install curl` brings it");
        return;
    }
    let (port, plain) = (free_port(), free_port());
    let shop = Shop::open();
    let document = shop::document(&format!("127.0.0.1:{port}"), "instances: 3")
        + &format!("tls: {{ names: [shop.test], redirect: 127.0.0.1:{plain} }}\n");
    let file = shop.world.path("environment.yaml");
    std::fs::write(&file, document).unwrap();
    shop.world.ok(&["apply", "shop", file.to_str().unwrap(), "--yes"]);
    let authority = shop.world.path("data/keys/authority.pem");
    let curl = |arguments: &[&str]| {
        let (names, plain) = (format!("shop.test:{port}:127.0.0.1"), format!("shop.test:{plain}:127.0.0.1"));
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "20", "--cacert"])
            .arg(&authority)
            .args(["--resolve", &names, "--resolve", &plain])
            .args(arguments)
            .output()
            .unwrap();
        (text(&output.stdout), text(&output.stderr))
    };
    let address = format!("https://shop.test:{port}/");
    shop.world.eventually("users are served encrypted", || curl(&[&address]).0 == "v1");
    let lost = format!("http://shop.test:{plain}/");
    assert_eq!(curl(&["--location", &lost]).0, "v1", "by way of the redirect");
    let (_, error) =
        curl(&["--resolve", &format!("other.test:{port}:127.0.0.1"), &format!("https://other.test:{port}/")]);
    assert!(error.contains("other.test"), "the certificate is for shop.test alone: {error}");
    let before = shop.history().len();
    shop.release("v2", "{ strategy: blue-green }, verify: [{ http: { path: /, contains: v2 } }]");
    shop.next_ended("succeeded", before, |_| {});
    assert_eq!(curl(&[&address]).0, "v2");
}
