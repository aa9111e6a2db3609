//! What a test breaks on purpose: a crash with `MILLSTREAM_CRASH_AT`, a loop that hangs with
//! `MILLSTREAM_FREEZE_LOOP`; not in release builds.
//!
//! `MILLSTREAM_CRASH_OF=worker` has the workers that this process has started die there, and not
//! the process itself.

use std::path::Path;

use millstream_control::{Store, StoreError};
use millstream_daemon::Daemon;

/// `store`, at whose commit that the environment names, if it names one, somebody dies.
#[cfg(debug_assertions)]
pub(crate) fn armed(store: Store) -> Store {
    store.crashing_at(purpose::point())
}

/// Has somebody die in the middle of a write of users' data, if the environment names a point of
/// one.
#[cfg(debug_assertions)]
pub(crate) fn arm_writes() {
    purpose::arm_writes();
}

/// Nobody dies.
#[cfg(not(debug_assertions))]
pub(crate) fn arm_writes() {}

/// Opens the embedded database at `path`, armed in the same way while its schema is brought up to
/// date.
#[cfg(debug_assertions)]
pub(crate) fn open_sqlite(path: &Path) -> Result<Store, StoreError> {
    Store::open_sqlite_crashing_at(path, purpose::point())
}

/// Opens the embedded database at `path`.
#[cfg(not(debug_assertions))]
pub(crate) fn open_sqlite(path: &Path) -> Result<Store, StoreError> {
    Store::open_sqlite(path)
}

/// `store` as it is.
#[cfg(not(debug_assertions))]
pub(crate) fn armed(store: Store) -> Store {
    store
}

/// `daemon`, of which the loop that `MILLSTREAM_FREEZE_LOOP` names, if it names one, stands still.
#[cfg(debug_assertions)]
pub(crate) fn frozen(daemon: Daemon) -> Daemon {
    match std::env::var("MILLSTREAM_FREEZE_LOOP") {
        Ok(name) => daemon.freezing(&name),
        Err(_) => daemon,
    }
}

/// `daemon` as it is.
#[cfg(not(debug_assertions))]
pub(crate) fn frozen(daemon: Daemon) -> Daemon {
    daemon
}

/// The crashes themselves.
#[cfg(debug_assertions)]
mod purpose {
    use millstream_store::CrashPoint;
    use rustix::process::{Pid, Signal, getpid, kill_process};

    /// The commit that the environment names, and who dies there.
    pub(super) fn point() -> Option<CrashPoint> {
        let point = std::env::var("MILLSTREAM_CRASH_AT").ok();
        let of_worker = std::env::var("MILLSTREAM_CRASH_OF").is_ok_and(|who| who == "worker");
        let crash = if of_worker { kill_workers } else { kill_this };
        CrashPoint::parse(&point?, crash)
    }

    /// The same in the middle of a write: what names no such point is none there.
    pub(super) fn arm_writes() {
        if let Ok(point) = std::env::var("MILLSTREAM_CRASH_AT") {
            millstream_io::crash_at(&point, kill_this);
        }
    }

    /// Ends this process without a word to anybody, as `kill -9` does.
    fn kill_this() {
        if kill_process(getpid(), Signal::KILL).is_err() {
            std::process::abort();
        }
        loop {
            std::thread::park();
        }
    }

    /// Ends the worker processes that this process has started, and says so.
    fn kill_workers() {
        let me = std::process::id().to_string();
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        for number in numbers.filter(|number| is_worker_of(*number, &me)) {
            let killed = Pid::from_raw(number).map(|pid| kill_process(pid, Signal::KILL));
            tracing::warn!(worker = number, ?killed, "crash on purpose");
        }
    }

    fn is_worker_of(number: i32, parent: &str) -> bool {
        let read = |name: &str| std::fs::read(format!("/proc/{number}/{name}")).unwrap_or_default();
        let stat = read("stat");
        let stat = String::from_utf8_lossy(&stat);
        // The name before it may hold anything, even a parenthesis.
        let of = stat.rsplit_once(')').and_then(|(_, rest)| rest.split(' ').nth(2));
        let is_worker = read("cmdline").split(|byte| *byte == 0).any(|word| word == b"__worker");
        of == Some(parent) && is_worker
    }
}
