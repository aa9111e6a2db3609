//! The ticks of a schedule or a sensor, newest first: each with its runs, or with why there are
//! none.

use askama::Template;
use millstream_model::view::SwitchWord;
use millstream_model::{TenantId, TickRow, TickStatus};

use crate::format::{self, Moment};
use crate::link;
use crate::parts::{Badge, Switch, part};

/// Runs of one tick that its row links to.
const RUNS_SHOWN: usize = 4;

/// The table.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/tick_table.html")]
pub struct TickTable {
    heads: [&'static str; 2],
    ticks: Vec<TickLine>,
}

part!(TickTable);

/// What a tick is known by, for people.
#[derive(Debug, Clone)]
pub enum TickName {
    /// Its nominal time on the schedule's own clock.
    Nominal(String),
    /// How long ago it was.
    Ago(Moment),
}

/// A tick in the history.
#[derive(Debug, Clone)]
struct TickLine {
    key: String,
    name: TickName,
    badge: Badge,
    late: String,
    why: String,
    warnings: Vec<String>,
    runs: Vec<(String, String)>,
    more: usize,
}

impl TickTable {
    /// The table of `ticks`, under the heads of its first and its third column.
    pub fn new(
        tenant: &TenantId,
        heads: [&'static str; 2],
        ticks: &[TickRow],
        name: impl Fn(&TickRow) -> TickName,
    ) -> Self {
        let ticks = ticks.iter().map(|tick| line(tenant, tick, name(tick))).collect();
        Self { heads, ticks }
    }
}

fn line(tenant: &TenantId, tick: &TickRow, name: TickName) -> TickLine {
    let mut why = why(tick);
    if let Some(since) = tick.since {
        why = format!("{why} ({} times, since {since})", tick.times);
    }
    let requested = usize::try_from(tick.requested).unwrap_or(usize::MAX);
    let shown = tick.runs.iter().take(RUNS_SHOWN);
    let runs: Vec<(String, String)> =
        shown.map(|run| (link::run(tenant, &run.run_id), run.run_id.short().clone())).collect();
    TickLine {
        key: tick.nominal.to_string(),
        name,
        badge: Badge::tick(tick.status),
        late: format::took(tick.lateness()),
        why,
        warnings: tick.warnings.iter().map(|it| it.message.clone()).collect(),
        more: requested.saturating_sub(runs.len()),
        runs,
    }
}

/// What came of a tick, in words.
pub fn why(tick: &TickRow) -> String {
    let runs = || format::plural(u64::from(tick.requested), "run", "runs");
    match (&tick.skipped, &tick.error) {
        (Some(beside), _) if tick.status == TickStatus::Launched => {
            format!("{}; {}", runs(), beside.beside_runs())
        }
        (Some(why), _) => why.to_string(),
        (None, Some(error)) => error.message.clone(),
        (None, None) => runs(),
    }
}

/// `what` with who has switched it, where somebody has.
pub fn with_word(what: &str, word: Option<&SwitchWord>, by_file: Switch) -> String {
    match word {
        Some(word) => {
            let did = if word.on { "started" } else { "stopped" };
            let file = match by_file {
                Switch::On => "on",
                Switch::Off => "off",
            };
            format!("{what} · {did} by {}; the file says {file}.", word.by)
        }
        None => format!("{what}."),
    }
}
