//! The daemons of the instance, and whether each of their loops still gets around.

use askama::Template;
use millstream_model::{DaemonRow, LoopRow, LoopState, Timestamp, are_healthy};

use crate::format::{self, Moment};
use crate::frame::Frame;
use crate::html::Html;
use crate::parts::{Badge, Equivalent};

/// What the page shows.
#[derive(Debug, Clone)]
pub struct DaemonsPage {
    /// The frame.
    pub frame: Frame,
    /// The time of the answer.
    pub now: Timestamp,
    /// The daemons.
    pub daemons: Vec<DaemonRow>,
}

#[derive(Template)]
#[template(path = "daemons.html")]
struct Daemons {
    frame: Frame,
    verdict: String,
    groups: Vec<DaemonLines>,
    equivalent: Equivalent,
}

struct DaemonLines {
    name: String,
    badge: Badge,
    lines: Vec<LoopLine>,
}

struct LoopLine {
    name: String,
    badge: Badge,
    heard: Moment,
    silent: Option<Moment>,
    silence_max: String,
    work: &'static str,
}

/// The page.
pub fn daemons(page: DaemonsPage) -> Html {
    let DaemonsPage { frame, now, daemons } = page;
    Html::render(&Daemons {
        verdict: verdict(&daemons),
        groups: daemons.iter().map(|daemon| daemon_lines(daemon, now)).collect(),
        equivalent: Equivalent::new()
            .with("This list", "millstream daemon list".to_owned())
            .with("As JSON", "GET /api/v1/daemons".to_owned()),
        frame,
    })
}

fn verdict(daemons: &[DaemonRow]) -> String {
    if daemons.is_empty() {
        return "no daemon: runs wait, and nothing is scheduled".to_owned();
    }
    let gone = daemons.iter().filter(|daemon| daemon.state == LoopState::Gone).count();
    let living = daemons.len() - gone;
    let all = if living == 0 {
        "no daemon lives: runs wait, and nothing is scheduled".to_owned()
    } else {
        let total = format::plural(living as u64, "daemon", "daemons");
        let is_silent = |daemon: &DaemonRow| daemon.state == LoopState::Silent;
        let is_well = are_healthy(daemons) && !daemons.iter().any(is_silent);
        let all = if is_well { "every loop gets around" } else { "something is silent" };
        format!("{total} · {all}")
    };
    if gone == 0 { all } else { format!("{all} · {gone} gone") }
}

fn daemon_lines(daemon: &DaemonRow, now: Timestamp) -> DaemonLines {
    DaemonLines {
        name: daemon.name.clone(),
        badge: Badge::health(daemon.state),
        lines: daemon.loops.iter().map(|row| loop_line(row, now)).collect(),
    }
}

fn loop_line(row: &LoopRow, now: Timestamp) -> LoopLine {
    LoopLine {
        name: row.name.clone(),
        badge: Badge::health(row.state),
        heard: Moment::relative(now, row.beat_at),
        silent: row.silent_since.map(|since| Moment::relative(now, since)),
        silence_max: format::took(row.silence_max.0),
        work: row.work(),
    }
}
