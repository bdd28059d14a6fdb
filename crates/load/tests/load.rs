//! Load against a real server that misbehaves on purpose.

#![expect(clippy::unwrap_used, reason = "what goes wrong in a helper fails the test")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use towpath_load::{FailureKind, LoadPlan};

/// Answers request `n` after what `delay(n)` says: every tenth with a 500, every other one as version 2.
async fn server(delay: fn(u64) -> Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicU64::new(0));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let count = Arc::clone(&count);
            let answer = service_fn(move |_: Request<Incoming>| {
                let number = count.fetch_add(1, Relaxed);
                async move {
                    tokio::time::sleep(delay(number)).await;
                    let response = Response::builder()
                        .status(if number % 10 == 9 { 500 } else { 200 })
                        .header("Server", "one of many")
                        .header("X-Version", if number.is_multiple_of(2) { "1" } else { "2" })
                        .body(Full::new(Bytes::from_static(b"hello")));
                    Ok::<_, Infallible>(response.unwrap())
                }
            });
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
            tokio::spawn(connection);
        }
    });
    address
}

#[tokio::test]
async fn keeps_the_rate_and_tells_versions_and_failures_apart() {
    let address = server(|_| Duration::ZERO).await;
    let plan = LoadPlan {
        rate: Some(500.0),
        duration: Some(Duration::from_secs(1)),
        connections: 8,
        ..LoadPlan::new(format!("http://{address}/"))
    };
    let report = towpath_load::run(plan).await.unwrap();
    assert_eq!(report.requests, 500);
    assert_eq!(report.failures.get(&FailureKind::ServerError), Some(&50));
    assert_eq!((report.statuses["2xx"], report.statuses["5xx"]), (450, 50));
    assert_eq!((report.versions["1"].requests, report.versions["1"].failed), (250, 0));
    assert_eq!((report.versions["2"].requests, report.versions["2"].failed), (250, 50));
    let text = report.to_string();
    assert!(text.contains("status 5xx") && text.contains("version    2 "), "{text}");
    let json = serde_json::to_string(&report).unwrap();
    assert!(json.contains(r#""failures":{"server_error":50}"#), "{json}");
}

#[tokio::test]
async fn the_version_may_stand_in_another_header() {
    let address = server(|_| Duration::ZERO).await;
    let plan = LoadPlan {
        rate: Some(100.0),
        duration: Some(Duration::from_millis(100)),
        version_header: "server".to_owned(),
        ..LoadPlan::new(format!("http://{address}/"))
    };
    let report = towpath_load::run(plan).await.unwrap();
    assert_eq!((report.versions.len(), report.versions["one of many"].requests), (1, 10));
}

#[tokio::test]
async fn a_stall_is_charged_to_the_requests_that_had_to_wait() {
    let stall = |number| Duration::from_millis(if number == 20 { 500 } else { 0 });
    let address = server(stall).await;
    let plan = LoadPlan {
        rate: Some(100.0),
        duration: Some(Duration::from_secs(1)),
        connections: 1,
        ..LoadPlan::new(format!("http://{address}/"))
    };
    let report = towpath_load::run(plan).await.unwrap();
    assert_eq!(report.requests, 100);
    assert!(report.max >= 490.0 && report.p90 >= 300.0, "{report}");
}

#[tokio::test]
async fn goes_on_until_it_is_stopped_and_tells_what_happened_so_far() {
    let address = server(|_| Duration::from_millis(1)).await;
    let load =
        towpath_load::start(LoadPlan { connections: 4, ..LoadPlan::new(format!("http://{address}/")) })
            .unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while load.snapshot().requests < 100 {
        assert!(Instant::now() < deadline, "{}", load.snapshot());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    load.stop();
    let report = load.finish().await;
    assert!(report.requests >= 100 && report.failed < report.requests / 5, "{report}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_failure_and_no_error() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let plan = LoadPlan {
        rate: Some(100.0),
        duration: Some(Duration::from_millis(200)),
        ..LoadPlan::new(format!("http://{free}/"))
    };
    let report = towpath_load::run(plan).await.unwrap();
    assert_eq!((report.requests, report.failures.get(&FailureKind::Connect)), (20, Some(&20)));
}
