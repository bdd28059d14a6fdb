//! Keeps the log of an Attempt within its bound: the beginning as it comes, of what exceeds it the
//! end of each Step, and a line that says how much was left out.

use std::collections::VecDeque;
use std::path::Path;

use jiff::Timestamp;

use crate::executor::annotations::Noted;
use crate::executor::lines::Lines;
use crate::executor::mask::Masker;
use crate::executor::{LogLine, Sink, Stream};

/// What a line costs in the log besides its text: time, Step, stream, line feed.
const LINE_COST: u64 = 40;

/// How much of a Step's end is kept once the bound is reached.
const TAIL: usize = 256 * 1024;

/// How much every Step may print at once, though earlier ones used up the bound.
const STEP_ALLOWANCE: u64 = 64 * 1024;

/// Sits between the pipes of a Step and the sink.
pub(super) struct LogBound<'a> {
    masker: Masker,
    sink: &'a dyn Sink,
    left: u64,
    /// The unfinished line of stdout and of stderr.
    pending: [Vec<u8>; 2],
    tail: VecDeque<(Stream, Vec<u8>)>,
    tail_bytes: usize,
    left_out: u64,
    noted: Noted,
}

impl<'a> LogBound<'a> {
    pub(super) fn new(masker: Masker, bytes: u64, sink: &'a dyn Sink) -> Self {
        Self {
            masker,
            sink,
            left: bytes,
            pending: Default::default(),
            tail: VecDeque::new(),
            tail_bytes: 0,
            left_out: 0,
            noted: Noted::default(),
        }
    }

    /// Says which Step the annotations after this are of.
    pub(super) fn begin_annotations(&mut self, step: &str) {
        self.noted.begin_step(step);
    }

    /// Takes what a Step wrote as annotations.
    pub(super) fn take_annotations(&mut self, file: &Path) {
        if let Err(why) = self.noted.read(file, &self.masker) {
            self.notice(&why);
        }
    }

    /// All annotations so far.
    pub(super) fn annotations(&mut self) -> Vec<u8> {
        self.noted.take()
    }

    /// Makes sure that a Step's first lines are seen though earlier ones used up the bound.
    pub(super) fn begin_step(&mut self) {
        self.left = self.left.max(STEP_ALLOWANCE);
    }

    /// Takes bytes as they were read.
    pub(super) fn take(&mut self, step: u32, stream: Stream, bytes: &[u8]) {
        if self.left > 0 {
            self.split(step, stream, bytes, false);
        } else {
            self.keep_for_the_end(stream, bytes);
        }
    }

    /// Writes unfinished lines, what was left out, and the end.
    pub(super) fn finish_step(&mut self, step: u32) {
        let cut = self.left_out > 0;
        if cut {
            self.left = 0;
            self.notice_in(Some(step), &format!("… {} left out …", bytes_for_people(self.left_out)));
        }
        let tail = std::mem::take(&mut self.tail);
        for stream in [Stream::Stdout, Stream::Stderr] {
            let mut bytes: Vec<u8> =
                tail.iter().filter(|(of, _)| *of == stream).flat_map(|(_, bytes)| bytes.clone()).collect();
            if cut {
                let skip = self.unsafe_beginning(&bytes);
                bytes.drain(..skip);
            }
            self.split(step, stream, &bytes, true);
        }
        self.tail_bytes = 0;
        self.left_out = 0;
    }

    /// Says something about the Attempt in its log.
    pub(super) fn notice(&mut self, text: &str) {
        self.notice_in(None, text);
    }

    fn notice_in(&mut self, step: Option<u32>, text: &str) {
        let text = String::from_utf8_lossy(&self.masker.mask(text.as_bytes())).into_owned();
        self.sink.line(LogLine { at: Timestamp::now(), step, stream: Stream::Towpath, text: &text });
    }

    fn split(&mut self, step: u32, stream: Stream, bytes: &[u8], last: bool) {
        let at = Timestamp::now();
        let slot = usize::from(stream == Stream::Stderr);
        let mut lines = Lines::resume(&self.masker, std::mem::take(&mut self.pending[slot]));
        let mut used = 0;
        let mut emit = |text: &str| {
            used += text.len() as u64 + LINE_COST;
            self.noted.line(text);
            self.sink.line(LogLine { at, step: Some(step), stream, text });
        };
        lines.push(bytes, &mut emit);
        if last {
            lines.finish(&mut emit);
        }
        self.pending[slot] = lines.into_pending();
        self.left = self.left.saturating_sub(used);
    }

    fn keep_for_the_end(&mut self, stream: Stream, bytes: &[u8]) {
        // What is cut from the front goes whole: an unfinished line of before does too, as its rest may be cut.
        for pending in &mut self.pending {
            self.left_out += std::mem::take(pending).len() as u64;
        }
        self.tail.push_back((stream, bytes.to_vec()));
        self.tail_bytes += bytes.len();
        while self.tail_bytes > TAIL {
            let Some((_, oldest)) = self.tail.pop_front() else { break };
            self.tail_bytes -= oldest.len();
            self.left_out += oldest.len() as u64;
        }
        self.left_out = self.left_out.max(1);
    }

    /// How much of the end must go because a secret may have been cut at its start.
    fn unsafe_beginning(&self, bytes: &[u8]) -> usize {
        let line_end = bytes.iter().take(64 * 1024).position(|&byte| byte == b'\n');
        line_end.map_or(self.masker.longest().min(bytes.len()), |end| end + 1)
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn bytes_for_people(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}
