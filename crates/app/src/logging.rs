//! Logs of the process: to stderr, as text for people or as JSON lines for machines.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

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
        Loudness::News => LevelFilter::INFO,
        Loudness::Trouble => LevelFilter::ERROR,
    };
    let text = std::env::var("MILLSTREAM_LOG").unwrap_or_default();
    let lines = layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false);
    let registry = tracing_subscriber::registry().with(filter(&text, default));
    let json = std::env::var("MILLSTREAM_LOG_FORMAT").is_ok_and(|text| text == "json");
    let started =
        if json { registry.with(lines.json()).try_init() } else { registry.with(lines).try_init() };
    // A second start can only happen in a test; the first one's filter stays.
    drop(started);
}

/// What `text` lets through; everything of `default` where it says nothing, or nothing with sense.
fn filter(text: &str, default: LevelFilter) -> Targets {
    let read = if text.is_empty() { None } else { text.parse().ok() };
    read.unwrap_or_else(|| Targets::new().with_default(default))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_filter_names_levels_and_crates_and_one_without_sense_is_the_default() {
        let lets = |text: &str, target: &str, level: Level| {
            filter(text, LevelFilter::INFO).would_enable(target, &level)
        };
        for text in ["", "info", "millstream=loud", "warn,millstream=info"] {
            assert!(lets(text, "millstream_daemon::watch", Level::INFO), "{text}");
            assert!(!lets(text, "millstream_daemon::watch", Level::DEBUG), "{text}");
        }
        assert!(lets("millstream=debug", "millstream_daemon::watch", Level::DEBUG));
        assert!(!lets("warn,millstream=debug", "hyper", Level::INFO));
    }
}
