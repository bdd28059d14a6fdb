//! The log of one Attempt on its way: on disk first, then to the server, in order, from the offset
//! that the server has acknowledged.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use towpath_api::agent::{AttemptEvent, SequencedEvent};
use towpath_artifact::line;

use crate::executor::{LogLine, Sink, Stream};

/// The most bytes of log that are sent at once.
pub(super) const LOG_CHUNK: u64 = 256 * 1024;

/// Takes lines and events of one Attempt, from any thread.
#[derive(Debug)]
pub(super) struct Spool {
    file: Mutex<File>,
    written: AtomicU64,
    events: Mutex<Events>,
    log_acknowledged: watch::Sender<u64>,
    events_acknowledged: watch::Sender<u64>,
    /// Wakes who sends the log.
    pub(super) log_news: Notify,
    /// Wakes who sends the events.
    pub(super) event_news: Notify,
}

#[derive(Debug, Default)]
struct Events {
    last: u64,
    waiting: Vec<SequencedEvent>,
}

impl Spool {
    pub(super) fn create(path: &Path) -> io::Result<Arc<Self>> {
        let file = OpenOptions::new().create_new(true).read(true).append(true).open(path)?;
        Ok(Arc::new(Self {
            file: Mutex::new(file),
            written: AtomicU64::new(0),
            events: Mutex::default(),
            log_acknowledged: watch::Sender::new(0),
            events_acknowledged: watch::Sender::new(0),
            log_news: Notify::new(),
            event_news: Notify::new(),
        }))
    }

    /// Bytes of log so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Reads the log from `offset`, at most [`LOG_CHUNK`] bytes.
    pub(super) fn read(&self, offset: u64) -> io::Result<Vec<u8>> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        (&*file).take(LOG_CHUNK.min(self.written().saturating_sub(offset))).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Events that are not acknowledged.
    pub(super) fn events(&self) -> Vec<SequencedEvent> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).waiting.clone()
    }

    /// Forgets events that the server has.
    pub(super) fn acknowledge_events(&self, last: u64) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.waiting.retain(|event| event.sequence > last);
        drop(events);
        self.events_acknowledged.send_replace(last);
    }

    /// Notes how much of the log the server has.
    pub(super) fn acknowledge_log(&self, length: u64) {
        self.log_acknowledged.send_replace(length);
    }

    /// Waits until the server has so much of the log.
    pub(super) async fn wait_for_log(&self, bytes: u64) {
        let mut acknowledged = self.log_acknowledged.subscribe();
        let _spool_lives = acknowledged.wait_for(|length| *length >= bytes).await;
    }

    /// Waits until the server has every event.
    pub(super) async fn wait_for_events(&self) {
        let last = self.events.lock().unwrap_or_else(PoisonError::into_inner).last;
        let mut acknowledged = self.events_acknowledged.subscribe();
        let _spool_lives = acknowledged.wait_for(|sequence| *sequence >= last).await;
    }

    /// Says something about the Attempt in its log.
    pub(super) fn notice(&self, text: &str) {
        self.line(LogLine { at: Timestamp::now(), step: None, stream: Stream::Towpath, text });
    }
}

impl Sink for Spool {
    fn line(&self, line: LogLine<'_>) {
        let text = encode(line);
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk loses this line; the count stays true to what is in the file.
        if file.write_all(&text).is_ok() {
            self.written.fetch_add(text.len() as u64, Ordering::Release);
        } else {
            let _left_as_it_was = file.set_len(self.written());
        }
        drop(file);
        self.log_news.notify_one();
    }

    fn event(&self, event: AttemptEvent) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.last += 1;
        let sequence = events.last;
        events.waiting.push(SequencedEvent { sequence, at: Timestamp::now(), event });
        drop(events);
        self.event_news.notify_one();
    }
}

fn encode(spoken: LogLine<'_>) -> Vec<u8> {
    let LogLine { at, step, stream, text } = spoken;
    let stream = match stream {
        Stream::Stdout => line::Stream::Out,
        Stream::Stderr => line::Stream::Err,
        Stream::Towpath => line::Stream::System,
    };
    let mut bytes = Vec::with_capacity(line::PREFIX + text.len() + 1);
    line::format_line(
        &mut bytes,
        at,
        u8::try_from(step.unwrap_or(0)).unwrap_or(u8::MAX),
        stream,
        text.as_bytes(),
    );
    bytes
}
