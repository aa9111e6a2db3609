//! What readers see of schedules and sensors, and of what their ticks would come to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    CatchUp, HoldReason, HumanDuration, JobName, LocationName, PartitionKey, PartitionsChange,
    PartitionsName, ScheduleName, SensorName, SkipReason, TenantId, TickPartitions, TickRow,
    TickStatus, TickWarning, Timestamp,
};

/// A schedule of a tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleRow {
    /// The tenant.
    pub tenant: TenantId,
    /// The code location.
    pub location: LocationName,
    /// Its name.
    pub name: ScheduleName,
    /// What it is for.
    pub description: Option<String>,
    /// When it is due.
    pub cron: String,
    /// The zone whose clock the expression reads.
    pub timezone: String,
    /// The job it runs, when it runs one.
    pub job: Option<JobName>,
    /// The assets it makes, when it makes some.
    pub select: Option<String>,
    /// Which partitions a tick asks for.
    pub partitions: Option<TickPartitions>,
    /// What becomes of ticks whose time passed while nothing ran.
    pub catch_up: CatchUp,
    /// How many of its runs may be under way when it ticks again.
    pub max_active_runs: Option<u32>,
    /// How old a tick may be and still be made up for.
    #[serde(default)]
    pub deadline: Option<HumanDuration>,
    /// The days and calendars on which it requests nothing.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// The condition under which a tick requests runs.
    #[serde(default)]
    pub when: Option<String>,
    /// What makes two requests the same, where the definition says it.
    #[serde(default)]
    pub run_key: Option<String>,
    /// Labels of its runs beside the job's.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// The first local date or time at which it may tick.
    #[serde(default)]
    pub start: Option<String>,
    /// The local date or time from which on it does not.
    #[serde(default)]
    pub end: Option<String>,
    /// Whether it ticks.
    pub enabled: bool,
    /// Whether its file says that it does.
    pub enabled_default: bool,
    /// Why its file's word is not known, where the template under `enabled` cannot be evaluated for
    /// the tenant: the file's word is off then.
    #[serde(default)]
    pub unclear: Option<String>,
    /// What somebody says against the file, by whom and since when.
    pub enabled_override: Option<SwitchWord>,
    /// Whether its job is switched off, so that its ticks run nothing.
    #[serde(default)]
    pub job_off: bool,
    /// Why nobody lets it tick though it is on: that no daemon lives, or, of one that is due, that
    /// a silent one holds the schedules' lease.
    #[serde(default)]
    pub waits: Option<String>,
    /// The same by its kind, `no_daemon` or `lease_left`.
    #[serde(default)]
    pub waits_for: Option<HoldReason>,
    /// When it ticks next: its first time that nobody has decided, also where that has passed,
    /// unless ticks wait: then the time after theirs.
    pub next_at: Option<Timestamp>,
    /// Its first time that has passed and that no daemon has let tick, unless its own runs keep it
    /// back.
    #[serde(default)]
    pub late_since: Option<Timestamp>,
    /// The ticks whose time has passed, that would be made up for now, and that nobody has decided
    /// yet.
    #[serde(default)]
    pub waiting: Option<TicksWaiting>,
    /// The ticks whose time has passed and that would be made up for if it were switched on now.
    #[serde(default)]
    pub passed: Option<TicksPassed>,
    /// Its last tick.
    pub last_tick: Option<TickRow>,
}

/// Ticks of a schedule that wait until runs of it have ended, or until a daemon decides them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicksWaiting {
    /// How many, at most [`TicksWaiting::COUNTED`].
    pub count: u32,
    /// The nominal time of the first.
    pub since: Timestamp,
    /// How many of its runs are under way.
    pub active: u32,
    /// How many may be, where that is limited.
    pub limit: Option<u32>,
}

impl TicksWaiting {
    /// Waiting ticks that are counted; of more it is said that there are at least as many.
    pub const COUNTED: u32 = 1_000;

    /// Whether runs of it keep them back, so that no daemon may decide them yet.
    pub fn is_for_runs(&self) -> bool {
        self.limit.is_some_and(|limit| self.active >= limit)
    }

    /// How many wait, as a list says it.
    pub fn short(&self) -> String {
        wait_short(self.count)
    }
}

impl std::fmt::Display for TicksWaiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { count, since, active, limit } = self;
        let least = if *count >= Self::COUNTED { "at least " } else { "" };
        let (ticks, wait) = if *count == 1 { ("tick", "waits") } else { ("ticks", "wait") };
        write!(f, "{least}{count} {ticks} from {since} on {wait} for ")?;
        match limit {
            Some(limit) if active >= limit => {
                let are = if *active == 1 { "is" } else { "are" };
                write!(f, "its runs, of which {active} {are} under way (max_active_runs: {limit})")
            }
            Some(limit) => write!(
                f,
                "a daemon to decide them, with {active} of its runs under way (max_active_runs: \
                 {limit})"
            ),
            None => f.write_str("a daemon to decide them"),
        }
    }
}

/// Ticks of a schedule that is off whose time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicksPassed {
    /// How many, at most [`TicksWaiting::COUNTED`].
    pub count: u32,
    /// The nominal time of the first.
    pub since: Timestamp,
}

impl TicksPassed {
    /// How many wait until it is on, as a list says it.
    pub fn short(&self) -> String {
        wait_short(self.count)
    }
}

fn wait_short(count: u32) -> String {
    let least = if count >= TicksWaiting::COUNTED { "at least " } else { "" };
    format!("{least}{count} {}", if count == 1 { "waits" } else { "wait" })
}

impl std::fmt::Display for TicksPassed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { count, since } = self;
        let least = if *count >= TicksWaiting::COUNTED { "at least " } else { "" };
        let (ticks, are) = if *count == 1 { ("tick", "is") } else { ("ticks", "are") };
        write!(f, "{least}{count} {ticks} from {since} on {are} made up for once it is switched on")
    }
}

impl ScheduleRow {
    /// What becomes of the ticks whose time passes while it is off; nothing is said of one that is
    /// on.
    pub fn off_words(&self) -> Option<String> {
        let deadline = self.deadline.map(|it| format!(", but for those over {it} old (deadline)"));
        let deadline = deadline.unwrap_or_default();
        match (self.enabled, self.catch_up, &self.passed) {
            (true, _, _) => None,
            (false, CatchUp::All, Some(passed)) => {
                Some(format!("{passed}{deadline} (catch_up: all)"))
            }
            (false, CatchUp::All, None) => {
                Some(format!("what passes meanwhile is made up for then{deadline} (catch_up: all)"))
            }
            (false, policy, _) => {
                Some(format!("what passes meanwhile lapses (catch_up: {policy})"))
            }
        }
    }

    /// When it is due, or was where it is late.
    pub fn due_at(&self) -> Option<Timestamp> {
        self.late_since.or(self.next_at)
    }

    /// The job that keeps it from running anything, because that is switched off.
    pub fn stopped_by(&self) -> Option<&JobName> {
        self.job.as_ref().filter(|_| self.job_off)
    }
}

/// A sensor of a tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SensorRow {
    /// The tenant.
    pub tenant: TenantId,
    /// The code location.
    pub location: LocationName,
    /// Its name.
    pub name: SensorName,
    /// What it is for.
    pub description: Option<String>,
    /// The word for what it asks.
    pub kind: String,
    /// What it asks, for people.
    pub asks: String,
    /// The least time between two ticks.
    pub every: HumanDuration,
    /// How long an answer may take.
    pub timeout: HumanDuration,
    /// What it runs, when that is one thing.
    pub target: Option<String>,
    /// What it asks a database or a service, for people.
    #[serde(default)]
    pub query: Option<String>,
    /// The condition under which a thing that was found requests a run.
    #[serde(default)]
    pub when: Option<String>,
    /// Which keys of partitions it may remove, for people.
    #[serde(default)]
    pub guard: Option<String>,
    /// Whether it ticks.
    pub enabled: bool,
    /// Whether its file says that it does.
    pub enabled_default: bool,
    /// Why its file's word is not known, where the template under `enabled` cannot be evaluated for
    /// the tenant: the file's word is off then.
    #[serde(default)]
    pub unclear: Option<String>,
    /// What somebody says against the file, by whom and since when.
    pub enabled_override: Option<SwitchWord>,
    /// Whether the job of its `request` is switched off, so that no run of it is requested.
    #[serde(default)]
    pub job_off: bool,
    /// Why nobody asks it though it is on: that no daemon lives, or, of one that is due, that a
    /// silent one holds the sensors' lease.
    #[serde(default)]
    pub waits: Option<String>,
    /// The same by its kind, `no_daemon` or `lease_left`.
    #[serde(default)]
    pub waits_for: Option<HoldReason>,
    /// When it ticks next.
    pub next_at: Option<Timestamp>,
    /// Its last tick.
    pub last_tick: Option<TickRow>,
}

impl SensorRow {
    /// The job that it requests no run of, because that is switched off.
    pub fn stopped_by(&self) -> Option<&str> {
        self.target.as_deref().filter(|_| self.job_off)
    }
}

/// What a sensor's tick would come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SensorTest {
    /// The tick.
    #[serde(flatten)]
    pub tick: TickTest,
    /// What it was given.
    pub cursor_before: Option<String>,
    /// What it would remember.
    pub cursor_after: Option<String>,
    /// The keys that it would add and remove.
    pub partitions: BTreeMap<PartitionsName, PartitionsChange>,
    /// The end of what its program wrote, save for the answer.
    #[serde(default)]
    pub output: String,
}

/// What a sensor remembers, and how far it is behind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SensorStand {
    /// The cursor, as it is given to the next tick.
    pub cursor: Option<String>,
    /// For one that reads events: how many it has not read, at most 10,000, and since when.
    pub lag: Option<SensorLag>,
    /// For a webhook's: how many deliveries were set aside because no run could be made of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<u32>,
}

/// Events that a sensor has not read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SensorLag {
    /// How many; 10,000 stands for more.
    pub events: u32,
    /// When the first of them happened.
    pub since: Option<Timestamp>,
}

/// Somebody's word on whether something is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchWord {
    /// The word.
    pub on: bool,
    /// Who said it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// What a tick would do, or did, without its runs being requested.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TickTest {
    /// The nominal time that was tried.
    pub nominal: Timestamp,
    /// What would come of it.
    pub status: TickStatus,
    /// Why nothing would be requested.
    pub skipped: Option<SkipReason>,
    /// Why it would fail.
    pub error: Option<TickWarning>,
    /// What keeps single runs from being requested.
    pub warnings: Vec<TickWarning>,
    /// The runs that would be requested.
    pub requests: Vec<TickRequest>,
    /// Whether it ticks at all; one that is off was tried as if it were on. Older daemons do not
    /// say it, and nobody is told then that it is off.
    #[serde(default = "is_on")]
    pub enabled: bool,
    /// The runs of it that would keep a tick from requesting anything now, in words.
    #[serde(default)]
    pub in_the_way: Option<String>,
}

fn is_on() -> bool {
    true
}

/// A run that a tick would request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TickRequest {
    /// What makes the request the same as another.
    pub run_key: String,
    /// Its partition.
    pub partition: Option<PartitionKey>,
    /// Its labels beside the job's.
    pub tags: BTreeMap<String, String>,
    /// Whether it was requested before, so that it would not be again.
    pub is_known: bool,
}

#[cfg(test)]
mod tests {
    use super::SensorTest;

    #[test]
    fn the_test_of_an_older_daemon_is_read_without_what_it_does_not_say() {
        let older = r#"{
            "nominal": "2026-07-01T00:00:00Z", "status": "SKIPPED", "skipped": null,
            "error": null, "warnings": [], "requests": [],
            "cursor_before": null, "cursor_after": null, "partitions": {}
        }"#;
        let test: SensorTest = serde_json::from_str(older).unwrap();
        assert!(test.tick.enabled && test.output.is_empty(), "{test:?}");
    }
}
