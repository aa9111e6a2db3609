//! One schedule: when it ticks next, what its ticks came to, and what the next would do.

use askama::Template;
use millstream_model::view::{ScheduleRow, TickTest};
use millstream_model::{JobName, TickRow, Timestamp, shell_word};

use crate::format::{self, Moment};
use crate::frame::Frame;
use crate::html::Html;
use crate::link;
use crate::pages::automation::{Decided, ScheduleLine, partitions_of, switch_of_job};
use crate::parts::{Badge, Equivalent, TickName, TickTable, with_word};

/// Requests of a test that are shown.
const REQUESTS_SHOWN: usize = 20;

/// What the page shows.
#[derive(Debug, Clone)]
pub struct SchedulePage {
    /// The frame.
    pub frame: Frame,
    /// The time of the answer.
    pub now: Timestamp,
    /// The schedule.
    pub schedule: ScheduleRow,
    /// Its newest ticks, newest first.
    pub ticks: Vec<TickRow>,
    /// When it would tick next, if it is on.
    pub fires: Vec<Timestamp>,
    /// What a tick would do, after somebody asked.
    pub test: Option<TickTest>,
}

#[derive(Template)]
#[template(path = "schedule.html")]
struct Schedule {
    frame: Frame,
    line: ScheduleLine,
    description: String,
    verdict: String,
    ticks: TickTable,
    fires: Vec<(String, Option<Moment>)>,
    is_on: bool,
    test: Option<TestLine>,
    facts: Vec<(&'static str, String)>,
    test_action: String,
    why: String,
    equivalent: Equivalent,
}

/// What a tick would do.
struct TestLine {
    nominal: String,
    badge: Badge,
    says: String,
    warnings: Vec<String>,
    requests: Vec<String>,
    more: usize,
}

/// The page.
pub fn schedule(page: SchedulePage) -> Html {
    let (row, tenant) = (&page.schedule, &page.frame.tenant);
    let name = shell_word(row.name.as_str());
    let command = |verb: &str| format!("millstream schedule {verb} {name} --tenant {tenant}");
    Html::render(&Schedule {
        line: ScheduleLine::new(tenant, row, page.now),
        description: row.description.clone().unwrap_or_default(),
        verdict: verdict(row, page.now),
        ticks: TickTable::new(tenant, ["Nominal time", "Late by"], &page.ticks, |tick| {
            TickName::Nominal(tick.nominal.local(&row.timezone))
        }),
        fires: page
            .fires
            .iter()
            .map(|at| {
                let when = row.enabled.then(|| Moment::relative(page.now, *at));
                (at.local(&row.timezone), when)
            })
            .collect(),
        is_on: row.enabled,
        test: page.test.as_ref().map(|test| test_line(test, row)),
        facts: facts(row),
        test_action: link::schedule_test(tenant, &row.name),
        why: link::why(tenant, row.name.as_str()),
        equivalent: switch_of_job(row.stopped_by().map(JobName::as_str), tenant)
            .with("Start and stop it", command("start"))
            .with("Its next times", command("preview"))
            .with("Its ticks", command("ticks"))
            .with("What a tick would do", command("test"))
            .with("As JSON", {
                format!("GET /{tenant}/api/v1/schedules/{}", link::segment(row.name.as_str()))
            }),
        frame: page.frame,
    })
}

fn verdict(row: &ScheduleRow, now: Timestamp) -> String {
    let (cron, zone) = (&row.cron, &row.timezone);
    let when = match (row.late_since, row.next_at) {
        (Some(at), next) => {
            let due = format::relative(now, at);
            let next = next.filter(|_| row.waiting.is_some());
            let next = next.map(|at| format!("; next {}", format::relative(now, at)));
            let next = next.unwrap_or_default();
            format!(
                "Ticks at {cron} {zone}, and is late: due {due}, and no daemon has let it tick\
                 {next}"
            )
        }
        (None, Some(at)) if at <= now => {
            format!("Ticks at {cron} {zone}, due {}", format::relative(now, at))
        }
        (None, Some(at)) => format!("Ticks at {cron} {zone}, next {}", format::relative(now, at)),
        (None, None) if row.enabled => format!("Ticks at {cron} {zone}, but never again"),
        (None, None) => format!("Would tick at {cron} {zone}, but is off"),
    };
    let when = match &row.waits {
        Some(waits) => format!("{when}; {waits}"),
        None => when,
    };
    let waiting = row.waiting.map(|waiting| waiting.to_string()).or_else(|| row.off_words());
    let when = match waiting {
        Some(waiting) => format!("{when}; {waiting}"),
        None => when,
    };
    let when = match row.stopped_by() {
        Some(job) => format!("{when}; its job {job} is off, so that nothing runs"),
        None => when,
    };
    let when = match &row.unclear {
        Some(unclear) => format!("{when}; its `enabled` counts as off: {unclear}"),
        None => when,
    };
    with_word(&when, row.enabled_override.as_ref(), row.enabled_default.into())
}

fn test_line(test: &TickTest, row: &ScheduleRow) -> TestLine {
    let says = match (&test.skipped, &test.error) {
        (Some(reason), _) => format!("nothing would be requested: {reason}"),
        (None, Some(error)) => error.message.clone(),
        (None, None) => {
            let count = test.requests.iter().filter(|request| !request.is_known).count();
            format!("{} would be requested", format::plural(count as u64, "run", "runs"))
        }
    };
    let requests: Vec<String> = test
        .requests
        .iter()
        .take(REQUESTS_SHOWN)
        .map(|request| match &request.partition {
            Some(partition) => format!("{partition} under the run key {}", request.run_key),
            None => format!("under the run key {}", request.run_key),
        })
        .collect();
    TestLine {
        nominal: test.nominal.local(&row.timezone),
        badge: Badge::tick(test.status),
        says,
        warnings: test
            .warnings
            .iter()
            .map(|it| it.message.clone())
            .chain(test.in_the_way.iter().map(|words| format!("As things stand, {words}.")))
            .collect(),
        more: test.requests.len().saturating_sub(requests.len()),
        requests,
    }
}

fn facts(row: &ScheduleRow) -> Vec<(&'static str, String)> {
    let target = match (&row.job, &row.select) {
        (Some(job), _) => ("Job", job.to_string()),
        (None, select) => ("Selection", select.clone().unwrap_or_default()),
    };
    let mut facts = vec![target, ("Location", row.location.to_string())];
    facts.extend(row.partitions.as_ref().map(|it| ("Partitions", partitions_of(it))));
    facts.push(("Catch-up", row.catch_up.to_string()));
    facts.extend(row.max_active_runs.map(|it| ("Runs at once", it.to_string())));
    facts.extend(row.deadline.map(|it| ("Deadline", it.to_string())));
    facts.extend(row.when.clone().map(|it| ("When", it)));
    facts.extend(row.run_key.clone().map(|it| ("Run key", it)));
    facts.extend(row.start.clone().map(|it| ("Start", it)));
    facts.extend(row.end.clone().map(|it| ("End", it)));
    facts.extend((!row.exclude.is_empty()).then(|| ("Excluded", row.exclude.join(", "))));
    let tags: Vec<String> = row.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    facts.extend((!tags.is_empty()).then(|| ("Labels", tags.join(", "))));
    facts
}
