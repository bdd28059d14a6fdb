//! Serves every page with made-up content on loopback, to look at: `cargo run -p towpath-ui --example gallery`.

mod fixture;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use fixture::Moment;
use jiff::Timestamp;
use towpath_ui::view::RunView;
use towpath_ui::{CONTENT_SECURITY_POLICY, asset, log, page, routes};

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(7421);
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("http://{}/", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        // A browser that goes away is nobody's error.
        std::thread::spawn(move || drop(answer(stream)));
    }
    Ok(())
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let target = request.split(' ').nth(1).unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path == "/api/v1/events" {
        return events(stream);
    }
    let (content_type, headers, body) = content(path, query);
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nContent-Security-Policy: {CONTENT_SECURITY_POLICY}\r\n{headers}Connection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)
}

/// News every two seconds, until the browser goes.
fn events(mut stream: TcpStream) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")?;
    loop {
        write!(stream, "event: change\ndata: {{}}\n\n")?;
        stream.flush()?;
        std::thread::sleep(Duration::from_secs(2));
    }
}

fn content(path: &str, query: &str) -> (&'static str, String, Vec<u8>) {
    let moment = Moment(Timestamp::now());
    if let Some(asset) = asset(path) {
        return (asset.content_type, String::new(), asset.bytes.to_vec());
    }
    if path == routes::series(fixture::PROMOTION) {
        let series = serde_json::to_vec(&moment.series()).unwrap_or_default();
        return ("application/json", String::new(), series);
    }
    if path == routes::log(fixture::ATTEMPT) {
        return log_part(query, &fixture::stored_log(), false);
    }
    if path == routes::log(fixture::RUNNING) {
        let lines = 100_000 + (moment.0.as_millisecond() / 50 % 1_000_000) as usize;
        let log: Vec<String> = (0..lines)
            .map(|n| format!("2026-11-21T14:00:00.000000Z 02o page \u{1b}[36m{n}\u{1b}[0m written"))
            .collect();
        return log_part(query, &log, true);
    }
    let html = match path {
        "/" => page::overview(&moment.overview()),
        "/p/shop" => page::project(&moment.project()),
        "/p/shop/tests" if query.starts_with("test=") => page::test(&moment.test()),
        "/p/shop/tests" => page::tests(&moment.tests()),
        "/p/shop/notifications" => page::notifications(&moment.notifications()),
        "/p/shop/insights" => page::insights(&moment.insights()),
        "/p/shop/caches" => page::caches(&moment.caches()),
        "/p/shop/imported/1" => page::run(&moment.imported_run()),
        "/p/shop/runs/13" => page::run(&moment.invalid_run()),
        "/timeline" => page::timeline(&moment.timeline()),
        "/approvals" => page::approvals(&moment.approvals()),
        "/agents" => page::agents(&moment.agents()),
        "/queue" => page::queue(&moment.queue()),
        "/users" => page::users(&moment.users()),
        "/account" => page::account(&moment.account()),
        "/decide" => page::decide(&moment.decide()),
        "/doctor" => page::doctor(&moment.doctor()),
        "/login" => page::sign_in(&moment.sign_in()),
        "/promotions/rolled-back" => page::promotion(&moment.rolled_back()),
        path if path.starts_with("/setup/") => page::setup(&moment.setup()),
        path if path.starts_with("/promotions/") => page::promotion(&moment.promotion()),
        path if path.contains("/runs/") => {
            let selected = query.strip_prefix("job=").map(str::to_owned);
            page::run(&RunView { selected, ..moment.run() })
        }
        path if path.contains("/releases/") => page::release(&moment.release()),
        path if path.contains("/env/") => page::environment(&moment.environment()),
        _ => page::error(&moment.error(404)),
    };
    ("text/html; charset=utf-8", String::new(), html.into_string().into_bytes())
}

fn log_part(query: &str, stored: &[String], open: bool) -> (&'static str, String, Vec<u8>) {
    let parameter = |name: &str| {
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse::<i64>().ok())
    };
    let total = stored.len() as i64;
    let from = parameter("from").unwrap_or(1);
    let first = if from < 0 { (total + from + 1).max(1) } else { from.max(1) };
    let limit = parameter("limit").unwrap_or(500).clamp(1, 5000);
    let part = stored.iter().skip((first - 1) as usize).take(limit as usize).map(String::as_str);
    let html = log::lines(first as u64, part).into_string();
    let headers = format!("X-Log-First: {first}\r\nX-Log-Total: {total}\r\nX-Log-Open: {open}\r\n");
    ("text/html; charset=utf-8", headers, html.into_bytes())
}
