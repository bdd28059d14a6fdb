//! Wakes whoever waits for news. A signal says only "look again"; the truth is in the database.

use tokio::sync::{Notify, watch};

/// The signals of one engine.
#[derive(Debug)]
pub struct Signals {
    /// Effects are due.
    pub(crate) work: Notify,
    /// Channels are to be told something.
    pub(crate) messages: Notify,
    /// An Environment's next wake-up has changed.
    pub(crate) clock: Notify,
    /// A schedule's next time has changed.
    pub(crate) schedules: Notify,
    /// A source is to be looked at.
    pub(crate) sources: Notify,
    queue: watch::Sender<u64>,
    routes: watch::Sender<u64>,
    timeline: watch::Sender<u64>,
    logs: watch::Sender<u64>,
}

impl Default for Signals {
    fn default() -> Self {
        Self {
            work: Notify::new(),
            messages: Notify::new(),
            clock: Notify::new(),
            schedules: Notify::new(),
            sources: Notify::new(),
            queue: watch::channel(0).0,
            routes: watch::channel(0).0,
            timeline: watch::channel(0).0,
            logs: watch::channel(0).0,
        }
    }
}

fn bump(sender: &watch::Sender<u64>) {
    sender.send_modify(|count| *count = count.wrapping_add(1));
}

impl Signals {
    /// Wakes whoever sleeps until a time, because the clock has jumped.
    pub fn clock_jumped(&self) {
        self.clock.notify_one();
        self.schedules.notify_one();
        self.sources.notify_one();
        self.work.notify_one();
        self.messages.notify_one();
    }

    /// Changes when an agent may have something to do.
    #[must_use]
    pub fn queue(&self) -> watch::Receiver<u64> {
        self.queue.subscribe()
    }

    /// Changes when a route has changed.
    #[must_use]
    pub fn routes(&self) -> watch::Receiver<u64> {
        self.routes.subscribe()
    }

    /// Changes when the timeline, or anything that pages show, has changed.
    #[must_use]
    pub fn timeline(&self) -> watch::Receiver<u64> {
        self.timeline.subscribe()
    }

    /// Changes when a log has grown.
    #[must_use]
    pub fn logs(&self) -> watch::Receiver<u64> {
        self.logs.subscribe()
    }

    pub(crate) fn queue_changed(&self) {
        bump(&self.queue);
    }

    /// Changes the queue's signal after a while, for whoever looked too soon.
    pub(crate) fn queue_changed_soon(&self, after: std::time::Duration) {
        let queue = self.queue.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            bump(&queue);
        });
    }

    pub(crate) fn routes_changed(&self) {
        bump(&self.routes);
    }

    pub(crate) fn timeline_changed(&self) {
        bump(&self.timeline);
    }

    pub(crate) fn logs_changed(&self) {
        bump(&self.logs);
    }
}
