//! The crash that a test asks for with `MILLSTREAM_CRASH_AT`; not in release builds.

use millstream_control::Store;

/// `store`, which ends this process at the commit that the environment names, if it names one.
#[cfg(debug_assertions)]
pub(crate) fn armed(store: Store) -> Store {
    let point = std::env::var("MILLSTREAM_CRASH_AT").ok();
    store.crashing_at(point.and_then(|text| millstream_store::CrashPoint::parse(&text, kill)))
}

/// `store` as it is.
#[cfg(not(debug_assertions))]
pub(crate) fn armed(store: Store) -> Store {
    store
}

/// Ends this process without a word to anybody, as `kill -9` does.
#[cfg(debug_assertions)]
fn kill() {
    let me = rustix::process::getpid();
    if rustix::process::kill_process(me, rustix::process::Signal::KILL).is_err() {
        std::process::abort();
    }
    loop {
        std::thread::park();
    }
}
