//! Saying "look now" within the process: a few counters that readers wait for, and the ends of
//! single runs.

use tokio::sync::watch;

use crate::ends::Ends;

/// The counters; clones are the same ones.
#[derive(Debug, Clone)]
pub(crate) struct Changes {
    all: watch::Sender<i64>,
    daemon: watch::Sender<i64>,
    slots: watch::Sender<i64>,
    ends: Ends,
}

impl Changes {
    pub(crate) fn new() -> Self {
        Self {
            all: watch::Sender::new(0),
            daemon: watch::Sender::new(0),
            slots: watch::Sender::new(0),
            ends: Ends::default(),
        }
    }

    /// Something was committed that no daemon waits for.
    pub(crate) fn committed(&self) {
        count_up(&self.all);
    }

    /// Something was committed that may be work for a daemon, or, for all that is known, may be.
    pub(crate) fn committed_work(&self) {
        count_up(&self.all);
        count_up(&self.daemon);
    }

    /// Slots may have been granted.
    pub(crate) fn granted(&self) {
        count_up(&self.slots);
    }

    /// The runs whose ends somebody waits for.
    pub(crate) fn ends(&self) -> &Ends {
        &self.ends
    }

    /// Another process has committed something: anything may have happened.
    pub(crate) fn heard(&self) {
        self.committed_work();
        self.granted();
        self.ends.tell_all();
    }

    pub(crate) fn slots(&self) -> watch::Receiver<i64> {
        self.slots.subscribe()
    }

    pub(crate) fn all(&self) -> watch::Receiver<i64> {
        self.all.subscribe()
    }

    pub(crate) fn daemon(&self) -> watch::Receiver<i64> {
        self.daemon.subscribe()
    }
}

fn count_up(counter: &watch::Sender<i64>) {
    counter.send_modify(|count| *count = count.wrapping_add(1));
}
