//! Logs of the process: to stderr, as text for people or as JSON lines for machines.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// How much is said when `MILLSTREAM_LOG` says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loudness {
    /// What a server says: its news.
    News,
    /// What a command says: only what goes wrong.
    Trouble,
}

/// Sets up logging. `MILLSTREAM_LOG` is a filter (`info`, `millstream=debug`), and
/// `MILLSTREAM_LOG_FORMAT=json` makes each line a JSON object.
pub(crate) fn start(loudness: Loudness) {
    let default = match loudness {
        Loudness::News => "info",
        Loudness::Trouble => "error",
    };
    let filter = std::env::var("MILLSTREAM_LOG").ok().filter(|text| !text.is_empty());
    let filter = EnvFilter::try_new(filter.as_deref().unwrap_or(default))
        .unwrap_or_else(|_| EnvFilter::new(default));
    let format = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false);
    let json = std::env::var("MILLSTREAM_LOG_FORMAT").is_ok_and(|text| text == "json");
    let started = if json { format.json().try_init() } else { format.try_init() };
    // A second start can only happen in a test; the first one's filter stays.
    drop(started);
}
