//! What `/metrics` shows, in Prometheus' text format.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the start.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Answers by class: 1xx to 5xx.
    responses: [AtomicU64; 5],
    /// Pushes that git accepted.
    pub pushes: AtomicU64,
    /// Clones and fetches.
    pub fetches: AtomicU64,
}

impl Metrics {
    /// Counts an answer.
    pub fn answered(&self, status: http::StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.responses[class].fetch_add(1, Ordering::Relaxed);
    }

    /// Writes all of it.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::from("# TYPE towpath_http_responses_total counter\n");
        for (index, count) in self.responses.iter().enumerate() {
            let count = count.load(Ordering::Relaxed);
            let _ = writeln!(text, "towpath_http_responses_total{{class=\"{}xx\"}} {count}", index + 1);
        }
        for (name, count) in [("pushes", &self.pushes), ("fetches", &self.fetches)] {
            let count = count.load(Ordering::Relaxed);
            let _ =
                write!(text, "# TYPE towpath_git_{name}_total counter\ntowpath_git_{name}_total {count}\n");
        }
        text
    }
}
