//! Why a schedule ticked, did not, will, or is late; and what became of the runs it asked for.

use std::time::Duration;

use millstream_model::view::{RunRow, ScheduleRow, SwitchWord};
use millstream_model::{RunStatus, TickRow, TickStatus, Timestamp, shell_word};

use super::{Because, Why, because, kept, over_words};

/// How long after its time a tick that nobody has decided is called late.
const LATE: Duration = Duration::from_secs(5);

/// What is stored about a schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleFacts {
    /// The schedule.
    pub schedule: ScheduleRow,
    /// The runs that its last tick requested, or what tries them again; a few of them.
    pub runs: Vec<RunRow>,
    /// The time at which this is asked.
    pub now: Timestamp,
}

/// The time at which a tick was `due` that nobody has decided, if that is too long ago.
pub fn late(due: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    due.filter(|due| now >= due.after(LATE))
}

/// Why a schedule ticked, did not, or will.
pub fn why_schedule(facts: &ScheduleFacts) -> Why {
    let schedule = &facts.schedule;
    let what = format!("schedule {}", schedule.name);
    let mut reasons = Vec::new();
    let unclear = schedule.unclear.as_deref();
    reasons.extend(switch_words(schedule.enabled, schedule.enabled_override.as_ref(), unclear));
    let stopped = stopped_words(schedule);
    reasons.extend(stopped.clone().map(|text| because(None, text)));
    reasons.extend(schedule.waiting.map(|it| because(it.since, it.to_string())));
    let last = schedule.last_tick.as_ref().map(|tick| (tick, tick_words(tick)));
    if let Some((tick, text)) = &last {
        reasons.push(because(tick.decided_at, text.clone()));
        let warnings = tick.warnings.iter();
        reasons.extend(warnings.map(|it| because(tick.decided_at, it.message.clone())));
    }
    reasons.extend(runs_words(&facts.runs));
    let stopped = stopped.filter(|_| schedule.enabled);
    let stopped = stopped.map_or_else(String::new, |text| format!("It is on, but {text}. "));
    let answer = match (schedule.late_since, schedule.next_at, &last) {
        _ if !schedule.enabled => {
            let word = shell_word(schedule.name.as_str());
            let meanwhile = schedule.off_words();
            let meanwhile = meanwhile.map_or_else(String::new, |words| format!("; {words}"));
            let off = off_words(schedule.enabled_override.as_ref(), unclear);
            format!("{off} `millstream schedule start {word}` switches it on{meanwhile}.")
        }
        (Some(due), _, _) => {
            let late = facts.now.since(due).as_secs();
            let waiting = waiting_words(schedule);
            let waiting = waiting.map_or_else(String::new, |words| format!("; {words}"));
            format!(
                "It is late: it was due at {due}, {late} s ago, and no daemon has let it \
                 tick{}{waiting}.",
                because_waits(schedule)
            )
        }
        (None, _, _) if schedule.waiting.is_some() => {
            let waiting = waiting_words(schedule).unwrap_or_default();
            let last = last.map_or_else(String::new, |(_, text)| format!("; {text}"));
            format!("It is behind: {waiting}{}{last}.", but_waits(schedule))
        }
        (None, Some(next), None) => {
            format!("It has not ticked yet; it is due at {next}{}.", but_waits(schedule))
        }
        (None, Some(next), Some((_, text))) => {
            format!("It is due at {next}{}; {text}.", but_waits(schedule))
        }
        (None, None, _) => match &schedule.end {
            Some(end) => format!("It is never due again before its `end`, {end}."),
            None => "It is never due again.".to_owned(),
        },
    };
    Why { what, answer: format!("{stopped}{answer}"), because: reasons }
}

/// The ticks that wait, and when the next is due after theirs; nothing when none waits.
pub(super) fn waiting_words(schedule: &ScheduleRow) -> Option<String> {
    let waiting = schedule.waiting?;
    Some(match schedule.next_at {
        Some(next) => format!("{waiting}; the next is due at {next}"),
        None => waiting.to_string(),
    })
}

/// That no daemon lives that would let the schedule tick; nothing where one does.
pub(super) fn but_waits(schedule: &ScheduleRow) -> String {
    schedule.waits.as_ref().map_or_else(String::new, |waits| format!(", but {waits}"))
}

/// Why no daemon has let a late schedule tick, where that is known.
pub(super) fn because_waits(schedule: &ScheduleRow) -> String {
    schedule.waits.as_ref().map_or_else(String::new, |waits| format!(": {waits}"))
}

/// Who has switched something, or that its file has it off or does not say; nothing when it is on
/// by its file.
pub(super) fn switch_words(
    enabled: bool,
    word: Option<&SwitchWord>,
    unclear: Option<&str>,
) -> Option<Because> {
    match (word, unclear) {
        (Some(word), _) => {
            let to = if word.on { "on" } else { "off" };
            Some(because(word.at, format!("{} switched it {to}", word.by)))
        }
        (None, Some(unclear)) if !enabled => {
            Some(because(None, format!("its `enabled` counts as off: {unclear}")))
        }
        (None, None) if !enabled => Some(because(None, "its file has it off".to_owned())),
        (None, _) => None,
    }
}

/// That something is off; also why, where nobody has said so and its file's word is not known.
pub(super) fn off_words(word: Option<&SwitchWord>, unclear: Option<&str>) -> String {
    match unclear.filter(|_| word.is_none()) {
        Some(unclear) => {
            format!("It is off, because its `enabled` is neither yes nor no here: {unclear};")
        }
        None => "It is off:".to_owned(),
    }
}

/// That the job of a schedule is off, and what switches it on; nothing when it is not.
pub(super) fn stopped_words(schedule: &ScheduleRow) -> Option<String> {
    let job = schedule.stopped_by()?;
    let word = shell_word(job.as_str());
    Some(format!(
        "its job {job} is switched off, so that its ticks run nothing: `millstream job start \
         {word}` switches it on"
    ))
}

/// What a tick of a schedule came to, and how late it was.
pub(super) fn tick_words(tick: &TickRow) -> String {
    let late = tick.lateness().as_secs();
    let late = if late > 0 { format!(", {late} s late,") } else { String::new() };
    format!("its tick of {}{late} {}", tick.nominal, outcome_words(tick))
}

/// What became of a tick.
pub(super) fn outcome_words(tick: &TickRow) -> String {
    match tick.status {
        TickStatus::Launched => {
            let runs = match tick.requested {
                1 => "requested 1 run".to_owned(),
                many => format!("requested {many} runs"),
            };
            let beside = tick.skipped.as_ref().map(|it| format!("; {}", it.beside_runs()));
            format!("{runs}{}", beside.unwrap_or_default())
        }
        TickStatus::Synced => match &tick.skipped {
            Some(changed) => format!("changed {changed}"),
            None => "changed partitions".to_owned(),
        },
        TickStatus::Skipped => match &tick.skipped {
            Some(reason) => format!("was skipped: {reason}"),
            None => "was skipped: no reason is stored".to_owned(),
        },
        TickStatus::Failed => match &tick.error {
            Some(error) => format!("failed: {}", error.message),
            None => "failed: no reason is stored".to_owned(),
        },
    }
}

/// What became of the runs of the last tick, where that is not yet what was wanted.
pub(super) fn runs_words(runs: &[RunRow]) -> Vec<Because> {
    let told = |run: &RunRow| run_words(run).map(|words| because(newest_time(run), words));
    runs.iter().filter_map(told).collect()
}

/// When a run ended, or else when it started, or else when it was queued.
pub(super) fn newest_time(run: &RunRow) -> Timestamp {
    run.ended_at.or(run.started_at).unwrap_or(run.queued_at)
}

/// Why what a run makes is not there; nothing when it succeeded.
pub(super) fn run_words(run: &RunRow) -> Option<String> {
    let short = run.run_id.short();
    let words = match run.status {
        RunStatus::Success => return None,
        RunStatus::Queued | RunStatus::NotStarted => match &run.hold {
            Some(hold) => format!("run {short} waits: {hold}"),
            None => format!("run {short} waits in the queue"),
        },
        RunStatus::Starting => format!("run {short} is being given to a worker{}", kept(run)),
        RunStatus::Started => format!("run {short} goes on: {}", over_words(run)),
        RunStatus::Canceling => format!("run {short} is being canceled{}", kept(run)),
        RunStatus::Canceled => format!("run {short} was canceled"),
        RunStatus::Failure => {
            let reason = run.failure.as_deref().unwrap_or("no reason is stored");
            format!("run {short} failed: {reason}")
        }
    };
    Some(words)
}
