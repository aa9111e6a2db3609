//! What `millstream schedule` and `millstream sensor` do alike: both tick, and are switched.

use millstream_model::view::{ScheduleRow, TicksPassed, TicksWaiting};
use millstream_model::{SkipReason, shell_word};
use serde_json::{Value, json};

use super::answer::{rows, text};
use super::outcome::short;
use super::tenants::{listed_tenants, one_tenant};
use crate::cli::Global;
use crate::client::{Client, encoded};
use crate::error::AppError;
use crate::output;

/// Runs of a tick that its line names.
const RUNS_SHOWN: usize = 3;

/// Letters of a warning that the line of its tick shows.
const WARNING_SHOWN: usize = 60;

/// A kind of what ticks, by its word in the API's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind(pub(super) &'static str);

impl Kind {
    /// The address of the one called `name` of the one tenant that is meant.
    pub(super) async fn address(
        self,
        client: &Client,
        global: &Global,
        name: &str,
    ) -> Result<String, AppError> {
        let tenant = one_tenant(client, global).await?;
        Ok(format!("/{tenant}/api/v1/{}/{}", self.0, encoded(name)))
    }

    /// All of the tenants that are meant.
    pub(super) async fn all(
        self,
        client: &Client,
        global: &Global,
    ) -> Result<Vec<Value>, AppError> {
        let mut all = Vec::new();
        for tenant in listed_tenants(client, global).await? {
            let answer = client.get(&format!("/{tenant}/api/v1/{}", self.0)).await?;
            all.extend(rows(&answer, self.0).iter().cloned());
        }
        Ok(all)
    }

    /// Switches the one called `name` to `on`, `off` or what its file says; returns it.
    pub(super) async fn switch(
        self,
        client: &Client,
        global: &Global,
        (name, to): (&str, &str),
    ) -> Result<Value, AppError> {
        let path = format!("{}/switch", self.address(client, global, name).await?);
        client.post(&path, &json!({ "to": to })).await
    }

    /// The newest ticks of the one called `name`: printed as JSON, or returned for a table.
    pub(super) async fn ticks(
        self,
        client: &Client,
        global: &Global,
        (name, limit): (&str, u32),
    ) -> Result<Option<Vec<Value>>, AppError> {
        let path = format!("{}/ticks?limit={limit}", self.address(client, global, name).await?);
        let answer = client.get(&path).await?;
        if global.json {
            output::json(&answer);
            return Ok(None);
        }
        Ok(Some(rows(&answer, "ticks").to_vec()))
    }
}

/// Whether it is on, whose word that is, and what keeps it from running anything though it is.
pub(super) fn state(row: &Value) -> String {
    let says = |name: &str| row.get(name).and_then(Value::as_bool).unwrap_or(false);
    let holds = |name: &str| row.get(name).is_some_and(|it| !it.is_null());
    let is_on = says("enabled");
    let is_held = text(row, "/waits_for/kind") == "lease_left";
    let beside = [
        ("by hand", holds("enabled_override")),
        ("unclear", !is_on && holds("unclear")),
        ("job off", is_on && says("job_off")),
        ("no daemon", is_on && holds("waits") && !is_held),
        ("lease held", is_on && is_held),
    ];
    let beside: Vec<&str> =
        beside.into_iter().filter(|(_, holds)| *holds).map(|(words, _)| words).collect();
    let word = if is_on { "on" } else { "off" };
    if beside.is_empty() { word.to_owned() } else { format!("{word} ({})", beside.join(", ")) }
}

/// That what was tried is off, and what switches it on; nothing when it is on.
pub(super) fn off((kind, name): (&str, &str), tried: &Value) -> Option<String> {
    let is_on = tried.get("enabled").and_then(Value::as_bool).unwrap_or(true);
    let word = shell_word(name);
    (!is_on).then(|| {
        format!(
            "{name} is off, and does not tick: `millstream {kind} start {word}` switches it on."
        )
    })
}

/// That the job of a schedule or a sensor is off, and what switches it on; nothing when it is not.
pub(super) fn stopped(row: &Value) -> Option<String> {
    let is_off = row.get("job_off").and_then(Value::as_bool).unwrap_or(false);
    let place = if row.get("job").is_some() { "/job" } else { "/target" };
    let job = text(row, place);
    let word = shell_word(&job);
    is_off.then(|| {
        format!("{job} is off, and does not run: `millstream job start {word}` switches it on")
    })
}

/// The lines on whether it is on, by whose word, and what its file says.
pub(super) fn standing(row: &Value) -> Vec<(&'static str, String)> {
    let on_off = |word: Option<&Value>| {
        if word.and_then(Value::as_bool).unwrap_or(false) { "on" } else { "off" }
    };
    let file = match row.get("unclear").and_then(Value::as_str) {
        Some(unclear) => format!("off: {unclear}"),
        None => on_off(row.get("enabled_default")).to_owned(),
    };
    let mut lines = vec![("state", state(row)), ("file says", file)];
    if let Some(word) = row.get("enabled_override").filter(|word| !word.is_null()) {
        let (by, at) = (text(word, "/by"), text(word, "/at"));
        lines.push(("by hand", format!("{}, said by {by} at {at}", on_off(word.get("on")))));
    }
    lines.extend(stopped(row).map(|words| ("job", words)));
    if row.get("waits").is_some_and(|waits| !waits.is_null()) {
        lines.push(("daemon", text(row, "/waits")));
    }
    lines.extend(behind(row).map(|words| ("behind", words)));
    lines.push(("next", due(row)));
    lines.extend(meanwhile(row).map(|words| ("meanwhile", words)));
    lines.push(("last tick", last(row)));
    lines
}

/// When something is due next; of what is late when it was due, and that it is late, or which ticks
/// wait before the next.
pub(super) fn due(row: &Value) -> String {
    let next = text(row, "/next_at");
    match (is_late(row), waiting(row)) {
        (true, Some(it)) => format!("{next} (late: {} from {} on)", it.short(), it.since),
        (true, None) => format!("{next} (late)"),
        (false, _) => next,
    }
}

/// The same, and how many ticks wait before that one, or until it is on.
pub(super) fn next(row: &Value) -> String {
    let next = due(row);
    match waiting(row).map(|it| it.short()).or_else(|| passed(row).map(|it| it.short())) {
        Some(wait) if !is_late(row) => format!("{next} ({wait})"),
        _ => next,
    }
}

fn is_late(row: &Value) -> bool {
    row.get("late_since").is_some_and(|since| !since.is_null())
}

fn waiting(row: &Value) -> Option<TicksWaiting> {
    let waiting = row.get("waiting").filter(|waiting| !waiting.is_null())?;
    serde_json::from_value(waiting.clone()).ok()
}

fn passed(row: &Value) -> Option<TicksPassed> {
    let passed = row.get("passed").filter(|passed| !passed.is_null())?;
    serde_json::from_value(passed.clone()).ok()
}

/// What becomes of the ticks that pass while a schedule is off; nothing of what is no schedule.
pub(super) fn meanwhile(row: &Value) -> Option<String> {
    serde_json::from_value::<ScheduleRow>(row.clone()).ok()?.off_words()
}

/// The ticks that wait for the schedule's own runs; nothing when none does.
pub(super) fn behind(row: &Value) -> Option<String> {
    waiting(row).map(|it| it.to_string())
}

/// The last tick, as a list shows it.
pub(super) fn last(row: &Value) -> String {
    match row.get("last_tick") {
        Some(tick) if !tick.is_null() => {
            format!("{} {}", text(tick, "/nominal"), text(tick, "/status"))
        }
        _ => "–".to_owned(),
    }
}

/// What came of a tick, with why nothing did, or what else there is to say beside its runs.
pub(super) fn outcome(tick: &Value) -> String {
    let status = text(tick, "/status");
    if let Some(error) = tick.get("error").filter(|error| !error.is_null()) {
        return format!("{status}: {}", text(error, "/message"));
    }
    let Some(skipped) = tick.get("skipped").filter(|skipped| !skipped.is_null()) else {
        return status;
    };
    let reason = serde_json::from_value::<SkipReason>(skipped.clone());
    match (reason, requested(tick)) {
        (Ok(reason), 0) => format!("{status}: {reason}"),
        (Ok(beside), 1) => format!("{status}: 1 run; {}", beside.beside_runs()),
        (Ok(beside), runs) => format!("{status}: {runs} runs; {}", beside.beside_runs()),
        (Err(_), _) => format!("{status}: {skipped}"),
    }
}

/// How many runs a tick has requested, or would.
fn requested(tick: &Value) -> u64 {
    let tried = || u64::try_from(rows(tick, "requests").len()).unwrap_or(u64::MAX);
    tick.get("requested").and_then(Value::as_u64).unwrap_or_else(tried)
}

/// The first runs of a tick, and how many more there are.
pub(super) fn runs_of(tick: &Value) -> Vec<String> {
    let runs = rows(tick, "runs");
    let mut said: Vec<String> =
        runs.iter().take(RUNS_SHOWN).map(|run| short(&text(run, "/run_id"))).collect();
    if runs.len() > RUNS_SHOWN {
        said.push(format!("and {} more", runs.len() - RUNS_SHOWN));
    }
    said
}

/// The first runs of a tick and the first of its warnings, in one cell of a table.
pub(super) fn which(tick: &Value) -> String {
    let (mut said, warnings) = (runs_of(tick), rows(tick, "warnings"));
    said.extend(warnings.first().map(|it| output::shortened(&text(it, "/message"), WARNING_SHOWN)));
    match warnings.len() {
        0 | 1 => {}
        2 => said.push("and 1 more warning".to_owned()),
        many => said.push(format!("and {} more warnings", many - 1)),
    }
    said.join(", ")
}

/// Prints the warnings of a tick that was tried.
pub(super) fn warn(tried: &Value) {
    for warning in rows(tried, "warnings") {
        output::line(&format!("warning: {}", text(warning, "/message")));
    }
}

#[cfg(test)]
mod tests {
    use millstream_model::{HoldReason, HumanDuration, LeaseLeft};

    use super::*;

    #[test]
    fn what_is_late_says_since_when_its_ticks_wait_beside_the_time_that_comes() {
        let (since, to_come) = ("2026-06-01T08:02:00Z", "2026-06-01T08:05:00Z");
        let waiting = json!({ "count": 3, "since": since, "active": 1, "limit": 1 });
        let row = |late: Value, waiting: Value| -> Value {
            json!({ "next_at": to_come, "late_since": late, "waiting": waiting })
        };
        let both = row(json!(since), waiting.clone());
        assert_eq!(next(&both), format!("{to_come} (late: 3 wait from {since} on)"));
        assert_eq!(next(&row(Value::Null, waiting)), format!("{to_come} (3 wait)"));
        assert_eq!(next(&row(json!(to_come), Value::Null)), format!("{to_come} (late)"));
        let passed = |count| next(&json!({ "passed": { "count": count, "since": since } }));
        let counted = [13, 1_000].map(passed);
        assert_eq!(counted, ["– (13 wait)", "– (at least 1000 wait)"]);
    }

    #[test]
    fn what_is_on_and_waits_for_a_daemon_says_whether_none_lives_or_a_silent_one_has_the_lease() {
        // By its kind: what the words say may change.
        let waits = |hold: HoldReason| {
            state(&json!({ "enabled": true, "waits": "some words", "waits_for": hold }))
        };
        let no_daemon = HoldReason::NoDaemon { since: None, in_order: false };
        assert_eq!(waits(no_daemon), "on (no daemon)");
        let left = LeaseLeft {
            lease: "schedules".to_owned(),
            silent_for: HumanDuration::from_secs(9),
            taken_within: None,
        };
        assert_eq!(waits(HoldReason::LeaseLeft(left)), "on (lease held)");
    }

    #[test]
    fn beside_runs_the_outcome_counts_them_and_what_was_passed_over() {
        let unfit =
            json!({ "kind": "none_fits", "what": "file", "count": 1, "first": "it is old" });
        let tick = |requested| {
            let status = if requested == 0 { "SKIPPED" } else { "LAUNCHED" };
            json!({ "status": status, "requested": requested, "skipped": unfit, "error": null })
        };
        assert_eq!(outcome(&tick(0)), "SKIPPED: it is old");
        assert_eq!(outcome(&tick(1)), "LAUNCHED: 1 run; 1 file passed over: it is old");
        assert_eq!(outcome(&tick(2)), "LAUNCHED: 2 runs; 1 file passed over: it is old");
        let tried = json!({ "status": "LAUNCHED", "requests": [{}, {}], "skipped": unfit });
        assert_eq!(outcome(&tried), "LAUNCHED: 2 runs; 1 file passed over: it is old");
        let plain = json!({ "status": "LAUNCHED", "requested": 2, "skipped": null });
        assert_eq!(outcome(&plain), "LAUNCHED");
    }

    #[test]
    fn a_line_names_few_runs_by_their_last_digits_and_the_beginning_of_one_warning() {
        let run = json!({ "run_id": "01a20504-a2bd-7235-a74c-79306e496b49" });
        let warning = json!({ "message": "x".repeat(70) });
        let tick = |runs, warnings| {
            let (runs, warnings) = (vec![run.clone(); runs], vec![warning.clone(); warnings]);
            json!({ "runs": runs, "warnings": warnings })
        };
        let start = format!("{}…", "x".repeat(60));
        assert_eq!(which(&tick(1, 0)), "6e496b49");
        assert_eq!(which(&tick(5, 0)), "6e496b49, 6e496b49, 6e496b49, and 2 more");
        assert_eq!(which(&tick(1, 1)), format!("6e496b49, {start}"));
        assert_eq!(which(&tick(0, 3)), format!("{start}, and 2 more warnings"));
    }
}
