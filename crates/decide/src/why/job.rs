//! Why a job runs, waits or does not: its switch, its newest run, and what asks for it.

use millstream_model::view::{JobRow, RunRow, ScheduleRow, goes_on_words};
use millstream_model::{RunStatus, shell_word};

use super::schedule::{but_waits, newest_time, run_words, switch_words, waiting_words};
use super::{Because, Why, because};

/// What is stored about a job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobFacts {
    /// The job.
    pub job: JobRow,
    /// Its newest run, if it ever ran.
    pub newest: Option<RunRow>,
    /// The first of its runs in line, at most as many as are told.
    pub waiting: Vec<RunRow>,
    /// How many of its runs are queued, as far as the line was looked at.
    pub queued: u32,
    /// The schedules that run it.
    pub schedules: Vec<ScheduleRow>,
    /// Why nothing new is started for its tenant, in words, where it takes no part.
    pub idle: Option<String>,
}

/// Why a job runs, waits or does not.
pub fn why_job(facts: &JobFacts) -> Why {
    let job = &facts.job;
    let mut reasons = Vec::new();
    reasons.extend(switch_words(job.enabled, job.enabled_override.as_ref(), None));
    let newest = facts.newest.as_ref().map(|run| (run, newest_words(run)));
    let is_newest = |run: &RunRow| newest.as_ref().is_some_and(|(it, _)| it.run_id == run.run_id);
    let waiting = facts.waiting.iter().filter(|run| !is_newest(run));
    reasons.extend(waiting.filter_map(|run| Some(because(run.queued_at, run_words(run)?))));
    if let Some((run, words)) = &newest {
        reasons.push(because(newest_time(run), words.clone()));
    }
    reasons.extend(facts.schedules.iter().map(schedule_words));
    let answer = match (&facts.idle, newest) {
        (Some(idle), _) => format!("{idle}."),
        _ if !job.enabled => {
            let (word, rest) = (shell_word(job.name.as_str()), goes_on_words(facts.queued));
            format!(
                "It is off, and nothing new is started until `millstream job start {word}` \
                 switches it on; {rest}."
            )
        }
        (None, None) => "It is on, and never ran.".to_owned(),
        (None, Some((newest, words))) => match first_words(newest, &facts.waiting) {
            Some(first) => format!("It is on: first in line, {first}."),
            None => format!("It is on: {words}."),
        },
    };
    Why { what: format!("job {}", job.name), answer, because: reasons }
}

/// Why the first run in line waits, where the newest waits behind it.
fn first_words(newest: &RunRow, waiting: &[RunRow]) -> Option<String> {
    let first = waiting.first().filter(|first| first.run_id != newest.run_id)?;
    if newest.status == RunStatus::Queued { run_words(first) } else { None }
}

/// What became of the newest run.
fn newest_words(run: &RunRow) -> String {
    let words = run_words(run).unwrap_or_else(|| match run.ended_at {
        Some(at) => format!("run {} succeeded at {at}", run.run_id.short()),
        None => format!("run {} succeeded", run.run_id.short()),
    });
    let retry = match (run.status, run.retried_as) {
        (RunStatus::Failure, Some(retry)) => format!(", and run {} tries it again", retry.short()),
        _ => String::new(),
    };
    format!("its newest {words}{retry}")
}

fn schedule_words(schedule: &ScheduleRow) -> Because {
    let name = &schedule.name;
    let waiting = waiting_words(schedule);
    let text = match schedule.due_at() {
        _ if !schedule.enabled => format!("schedule {name} would run it, and is off"),
        Some(due) if schedule.late_since.is_some() => {
            let waiting = waiting.map_or_else(String::new, |words| format!("; {words}"));
            let waits = but_waits(schedule);
            format!(
                "schedule {name} would run it, and is late: it was due at {due}{waits}{waiting}"
            )
        }
        Some(next) if schedule.job_off => {
            format!("schedule {name} ticks at {next}, and runs nothing while the job is off")
        }
        _ if waiting.is_some() => {
            let (waiting, waits) = (waiting.unwrap_or_default(), but_waits(schedule));
            format!("schedule {name} runs it, and is behind: {waiting}{waits}")
        }
        Some(next) => format!("schedule {name} runs it next at {next}{}", but_waits(schedule)),
        None => format!("schedule {name} would run it, and is never due again"),
    };
    because(None, text)
}
