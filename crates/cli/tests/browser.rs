//! The web page as people use it: the real program, a real push by git, and a real browser.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

mod support;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Process, World, free_port, shop};
use thirtyfour::LoggingPrefsLogLevel;
use thirtyfour::prelude::*;

/// What the shop of this test is: it answers.
const SHOP: &str = r#"
use std::io::{Read, Write};
fn main() {
    let address = format!("{}:{}", std::env::var("HOST").unwrap(), std::env::var("PORT").unwrap());
    for stream in std::net::TcpListener::bind(address).unwrap().incoming() {
        let mut stream = stream.unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi");
    }
}
"#;

/// Its job takes long enough to be seen running.
const PIPELINE: &str = "\
name: shop
on:
  push: { branches: [main] }
jobs:
  build:
    steps:
      - { name: Look, run: 'echo ::group::Planks; for i in 1 2 3; do echo \"plank $i is dry\"; sleep 1; done; echo ::endgroup::; test -x shop' }
    artifacts: { shop: { files: [shop] } }
workloads:
  shop: { artifact: shop, command: ./shop, health: { ready: / } }
stages:
  - name: production
    environments: [production]
    deploy: { strategy: recreate }
";

const ADMIN: &str = "mona";
const PASSWORD: &str = "correct-horse-battery";
const COMMENT: &str = "the planks are dry <b>indeed</b>";

/// The width of a small phone.
const PHONE: u32 = 380;

/// The one-time link that the server printed.
fn setup_link(world: &World) -> String {
    let log = world.log("server");
    let at = log.find("/setup/").expect("the server offers to make the first admin");
    let token = log[at..].split_whitespace().next().unwrap();
    format!("{}{}", world.url(), &token[1..])
}

/// Makes the project with an Environment that wants an approval, a developer who is not the one who approves, and a shop
/// that they push.
fn open_shop(world: &World) {
    world.make_shop(&format!(
        "environment: production\nproject: shop\ntarget: {{ instances: 1 }}\n\
         listen: 127.0.0.1:{}\nallow: {{ refs: [refs/heads/main] }}\n\
         gates:\n  - approval: {{ by: [admin], count: 1, self_approval: deny }}\n",
        free_port()
    ));
    world.tell(&["user", "create", "dora", "--role", "developer@shop"], &format!("{PASSWORD}\n"));
    shop::compile(world, SHOP, &world.work().join("shop"));
    world.push_as("dora", PASSWORD, &[("towpath.yaml", PIPELINE)]);
}

/// A browser and the program that drives it.
struct Browser {
    driver: WebDriver,
    url: String,
    _process: Process,
    _profile: tempfile::TempDir,
}

impl Browser {
    async fn start(tools: &Tools, url: &str) -> Self {
        let port = free_port();
        let process = Process::silent(Command::new(&tools.chromedriver).arg(format!("--port={port}")));
        let profile = tempfile::tempdir().unwrap();
        let mut wanted = DesiredCapabilities::chrome();
        wanted.set_binary(tools.chromium.to_str().unwrap()).unwrap();
        wanted.set_browser_log_level(LoggingPrefsLogLevel::All).unwrap();
        let profile_flag = format!("--user-data-dir={}", profile.path().display());
        for flag in ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", &profile_flag] {
            wanted.add_arg(flag).unwrap();
        }
        for flag in ["--disable-background-networking", "--disable-component-update", "--disable-sync"] {
            wanted.add_arg(flag).unwrap();
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        let driver = loop {
            match WebDriver::new(format!("http://127.0.0.1:{port}"), wanted.clone()).await {
                Ok(driver) => break driver,
                Err(error) => assert!(Instant::now() < deadline, "no browser within 30 s: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        Self { driver, url: url.to_owned(), _process: process, _profile: profile }
    }

    async fn open(&self, path: &str) {
        self.driver.goto(format!("{}{path}", self.url)).await.unwrap();
    }

    async fn fill(&self, css: &str, text: &str) {
        self.driver.find(By::Css(css)).await.unwrap().send_keys(text).await.unwrap();
    }

    async fn click(&self, css: &str) {
        self.driver.find(By::Css(css)).await.unwrap().click().await.unwrap();
    }

    /// What a script in the page returns.
    async fn ask(&self, script: &str) -> Value {
        self.driver.execute(script, Vec::new()).await.unwrap().json().clone()
    }

    /// Waits until the page itself says so: nothing here reloads it.
    async fn until(&self, what: &str, condition: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.ask(&format!("return Boolean({condition})")).await != true {
            let page = self.ask("return location.href + '\\n' + document.body.innerText").await;
            assert!(Instant::now() < deadline, "did not happen within 30 s: {what}\n{page:#}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn sign_in(&self, login: &str) {
        self.open("login").await;
        self.fill("input[name=login]", login).await;
        self.fill("input[name=password]", PASSWORD).await;
        self.click("main button[type=submit]").await;
        self.until("the overview shows", "location.pathname === '/' && document.querySelector('h1')").await;
    }

    /// Whether a page is wider than a phone.
    async fn fits_a_phone(&self, path: &str) {
        let phone = json!({"width": PHONE, "height": 800, "deviceScaleFactor": 1, "mobile": true});
        self.driver.cdp().send_raw("Emulation.setDeviceMetricsOverride", phone).await.unwrap();
        self.open(path).await;
        let width = self.ask("return document.documentElement.scrollWidth").await;
        assert!(width.as_u64().unwrap() <= PHONE.into(), "/{path} is {width} px wide on a phone");
    }
}

/// Where the browser and its driver are.
struct Tools {
    chromium: PathBuf,
    chromedriver: PathBuf,
}

impl Tools {
    fn find() -> Option<Self> {
        let find = |names: &[&str]| {
            let path = std::env::var_os("PATH")?;
            let places = std::env::split_paths(&path);
            places
                .flat_map(|place| names.iter().map(move |name| place.join(name)))
                .find(|file| file.is_file())
        };
        let chromium = find(&["chromium", "chromium-browser", "google-chrome"])?;
        Some(Self { chromium, chromedriver: find(&["chromedriver"])? })
    }
}

// A driver that is dropped by a failed test ends its browser from another thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_sets_up_watches_a_run_and_approves() {
    let Some(tools) = Tools::find() else {
        // Past the test harness, which keeps what a passed test prints to itself.
        let words = "SKIPPED: the page was not tested, as chromium or chromedriver is missing; \
                     on Debian: apt-get install chromium chromium-driver";
        writeln!(std::io::stderr(), "{words}").unwrap();
        return;
    };
    // The driver's own client needs one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let world = World::start();
    let browser = Browser::start(&tools, &world.url()).await;
    set_up(&world, &browser).await;
    open_shop(&world);
    watch_the_run(&browser).await;
    fold_the_log(&browser).await;
    approve(&browser).await;

    browser.open("timeline").await;
    let approved =
        format!("[...document.querySelectorAll('blockquote')].some(e => e.innerText === '{COMMENT}')");
    browser.until("the timeline has the comment, as it was written", &approved).await;
    for path in ["", "p/shop", "p/shop/runs/1", "p/shop/env/production", "timeline", "users", "agents"] {
        browser.fits_a_phone(path).await;
    }
    let complaints: Vec<_> = browser.driver.browser_log().await.unwrap();
    assert!(complaints.is_empty(), "the browser complains: {complaints:#?}");
    browser.driver.clone().quit().await.unwrap();
}

/// Uses the one-time link, and signs in with what it made.
async fn set_up(world: &World, browser: &Browser) {
    browser.driver.goto(setup_link(world)).await.unwrap();
    browser.fill("input[name=login]", ADMIN).await;
    browser.fill("input[name=password]", PASSWORD).await;
    browser.fill("input[name=password_again]", PASSWORD).await;
    browser.click("main button[type=submit]").await;
    browser.until("the overview shows", "location.pathname === '/'").await;
    browser.click("form[action='/logout'] button").await;
    browser.until("the way in shows", "location.pathname === '/login'").await;
    browser.sign_in(ADMIN).await;
}

/// Sees the Run go from running to passed with its log, without the page being loaded again once the log is there.
/// Before that it may be: it loads itself anew when a part comes or goes.
async fn watch_the_run(browser: &Browser) {
    browser.open("p/shop/runs/1").await;
    let badge = "document.querySelector('h1 + .badge')?.innerText";
    let line =
        |number: u8| format!("document.querySelector('#log')?.innerText.includes('plank {number} is dry')");
    browser.until("a line of the log shows", &line(1)).await;
    assert_eq!(browser.ask(&format!("window.once = true; return {badge}")).await, "running");
    browser.until("the run has passed", &format!("{badge} === 'passed'")).await;
    browser.until("the last line shows", &line(3)).await;
    assert_eq!(browser.ask("return window.once").await, true, "the page was loaded again");
}

/// Finds what a heading folds, opens it by keyboard, and by a jump to a line.
async fn fold_the_log(browser: &Browser) {
    let line = "document.querySelector('#log')?.innerText.includes('plank 2 is dry')";
    browser.open("p/shop/runs/1").await;
    browser
        .until("the heading shows", "document.querySelector('#log .heading button[aria-expanded=\"false\"]')")
        .await;
    assert_eq!(browser.ask(&format!("return {line}")).await, false, "an ended attempt's group is folded");
    browser.ask("document.querySelector('#log .heading button').focus()").await;
    browser.driver.active_element().await.unwrap().send_keys(Key::Enter).await.unwrap();
    browser.until("Enter opens it", line).await;
    browser.click("[data-log-do=fold]").await;
    browser.until("all are folded", &format!("!{line}")).await;
    browser.ask("location.hash = '#L3'").await;
    browser.until("a jump to a line opens what it is in", line).await;
}

/// Approves what waits, by button and dialog, and sees it arrive.
async fn approve(browser: &Browser) {
    browser.open("approvals").await;
    browser.until("it waits for approval", "document.querySelector('main a[href^=\"/promotions/\"]')").await;
    browser.click("main a[href^='/promotions/']").await;
    browser.until("its page shows", "document.querySelector('[data-dialog$=\"-approve\"]')").await;
    browser.click("[data-dialog$='-approve']").await;
    browser.fill("dialog[open] textarea", COMMENT).await;
    browser.click("dialog[open] button[type=submit]").await;
    browser.until("it is promoted", "document.querySelector('h1 + .badge')?.innerText === 'passed'").await;
    let said = browser.ask("return document.querySelector('#gates').innerText").await;
    assert!(said.as_str().unwrap().contains(COMMENT), "{said}");
}
