//! What runs by itself: schedules and sensors with their last ticks, and the jobs.

use askama::Template;
use millstream_model::view::{JobRow, ScheduleRow, SensorRow};
use millstream_model::{
    DimensionName, PartWanted, TenantId, TickPartitions, Timestamp, shell_word,
};

use crate::format::{self, Moment};
use crate::frame::Frame;
use crate::html::Html;
use crate::link;
use crate::pages::sensor::SensorLine;
use crate::parts::{Badge, Equivalent, why};

/// What the page shows.
#[derive(Debug, Clone)]
pub struct AutomationPage {
    /// The frame.
    pub frame: Frame,
    /// The time of the answer.
    pub now: Timestamp,
    /// The jobs by name.
    pub jobs: Vec<JobRow>,
    /// The schedules by name.
    pub schedules: Vec<ScheduleRow>,
    /// The sensors by name.
    pub sensors: Vec<SensorRow>,
}

#[derive(Template)]
#[template(path = "automation.html")]
struct Automation {
    frame: Frame,
    verdict: String,
    schedules: Vec<ScheduleLine>,
    sensors: Vec<SensorLine>,
    lines: Vec<JobLine>,
    equivalent: Equivalent,
}

/// A job in a list.
pub struct JobLine {
    /// Its name.
    pub name: String,
    /// Its page.
    pub href: String,
    /// Whether it takes part.
    pub badge: Badge,
    /// Who decided that.
    pub decided: Decided,
    /// What it is for.
    pub description: String,
    /// Where its switch posts.
    pub switch: String,
    /// What its switch would set.
    pub turns: &'static str,
}

/// What stands beside the state of what is off because its `enabled` cannot be evaluated.
pub(super) const UNCLEAR: &str = "unclear";

/// A schedule in a list.
pub struct ScheduleLine {
    /// Its name.
    pub name: String,
    /// Its page.
    pub href: String,
    /// Whether it ticks.
    pub badge: Badge,
    /// Who decided that.
    pub decided: Decided,
    /// Whether its job is off, so that it runs nothing.
    pub job_off: bool,
    /// Whether it is off because its `enabled` cannot be evaluated.
    pub is_unclear: bool,
    /// What it runs.
    pub target: String,
    /// When it is due.
    pub when: String,
    /// When it ticks next; nothing of one that is late, unless ticks wait before that.
    pub next: Option<Moment>,
    /// Its time that has passed, and that no daemon has let tick.
    pub late: Option<Moment>,
    /// The ticks that wait, also until it is on: how many, and since when and for what.
    pub waits: Option<(String, String)>,
    /// Its last tick.
    pub last: Option<(Badge, Moment, String)>,
    /// Where its switch posts.
    pub switch: String,
    /// What its switch would set.
    pub turns: &'static str,
}

impl ScheduleLine {
    /// The line of `row` as it reads at `now`.
    pub fn new(tenant: &TenantId, row: &ScheduleRow, now: Timestamp) -> Self {
        let target = match (&row.job, &row.select) {
            (Some(job), _) => job.to_string(),
            (None, select) => select.clone().unwrap_or_default(),
        };
        let last = row
            .last_tick
            .as_ref()
            .map(|tick| (Badge::tick(tick.status), Moment::relative(now, tick.nominal), why(tick)));
        let by_hand = row.enabled_override.is_some();
        Self {
            name: row.name.to_string(),
            href: link::schedule(tenant, &row.name),
            badge: Badge::switch(row.enabled.into()),
            decided: if by_hand { Decided::Override } else { Decided::File },
            job_off: row.job_off,
            is_unclear: !row.enabled && !by_hand && row.unclear.is_some(),
            target,
            when: format!("{} {}", row.cron, row.timezone),
            next: row
                .next_at
                .filter(|at| row.late_since != Some(*at))
                .map(|at| Moment::relative(now, at)),
            late: row.late_since.map(|at| Moment::relative(now, at)),
            waits: waits(row),
            last,
            switch: link::schedule_switch(tenant, &row.name),
            turns: if row.enabled { "off" } else { "on" },
        }
    }

    /// What the button says.
    pub fn verb(&self) -> &'static str {
        if self.turns == "on" { "Start" } else { "Stop" }
    }

    /// What the page says about the switch, beside its state.
    pub fn word(&self) -> &'static str {
        if self.is_unclear { UNCLEAR } else { self.decided.beside(self.job_off) }
    }
}

fn waits(row: &ScheduleRow) -> Option<(String, String)> {
    let passed = || Some((row.passed?.short(), row.off_words().unwrap_or_default()));
    row.waiting.map(|it| (it.short(), it.to_string())).or_else(passed)
}

/// Which partitions a tick asks for, as the definition writes it.
pub(crate) fn partitions_of(wanted: &TickPartitions) -> String {
    match wanted {
        TickPartitions::All => "all".to_owned(),
        TickPartitions::Latest => "latest".to_owned(),
        TickPartitions::Matching(parts) => {
            let part = |(name, wanted): (&DimensionName, &PartWanted)| match wanted {
                PartWanted::Latest => format!("{name}: latest"),
                PartWanted::OneOf(texts) => format!("{name}: {}", texts.join(", ")),
            };
            parts.iter().map(part).collect::<Vec<_>>().join(" · ")
        }
    }
}

/// Whose word the switch of a job follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// The file's.
    File,
    /// Somebody's, against the file.
    Override,
}

impl JobLine {
    /// The line of `job`.
    pub fn new(tenant: &TenantId, job: &JobRow) -> Self {
        Self {
            name: job.name.to_string(),
            href: link::job(tenant, &job.name),
            badge: Badge::switch(job.enabled.into()),
            decided: if job.enabled_override.is_some() { Decided::Override } else { Decided::File },
            description: job.description.clone().unwrap_or_default(),
            switch: link::switch(tenant, &job.name),
            turns: if job.enabled { "off" } else { "on" },
        }
    }

    /// What the page says about the switch, beside its state.
    pub fn word(&self) -> &'static str {
        self.decided.word()
    }
}

impl Decided {
    /// What a page says of it, beside the state.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::File => "",
            Self::Override => "by hand",
        }
    }

    /// What a page says beside the state of what ticks: also whether its job is off.
    pub(crate) fn beside(self, job_off: bool) -> &'static str {
        match (job_off, self) {
            (true, Self::File) => "job off",
            (true, Self::Override) => "by hand, job off",
            (false, decided) => decided.word(),
        }
    }
}

/// What switches the job on, where that is what keeps something from requesting its runs.
pub(crate) fn switch_of_job(stopped_by: Option<&str>, tenant: &TenantId) -> Equivalent {
    let Some(job) = stopped_by else { return Equivalent::new() };
    let job = shell_word(job);
    Equivalent::new()
        .with("Switch its job on", format!("millstream job start {job} --tenant {tenant}"))
}

/// The page.
pub fn automation(page: AutomationPage) -> Html {
    let tenant = &page.frame.tenant;
    let on = page.schedules.iter().filter(|schedule| schedule.enabled).count();
    let scheduled = format::plural(page.schedules.len() as u64, "schedule", "schedules");
    let asked = page.sensors.iter().filter(|sensor| sensor.enabled).count();
    let sensed = match page.sensors.len() {
        0 => String::new(),
        count => format!("{}, {asked} on · ", format::plural(count as u64, "sensor", "sensors")),
    };
    let off = page.jobs.iter().filter(|job| !job.enabled).count();
    let total = format::plural(page.jobs.len() as u64, "job", "jobs");
    let off = if off > 0 { format!(" · {off} off") } else { String::new() };
    Html::render(&Automation {
        verdict: format!("{scheduled}, {on} on · {sensed}{total}{off}"),
        schedules: page
            .schedules
            .iter()
            .map(|schedule| ScheduleLine::new(tenant, schedule, page.now))
            .collect(),
        sensors: page
            .sensors
            .iter()
            .map(|sensor| SensorLine::new(tenant, sensor, page.now))
            .collect(),
        lines: page.jobs.iter().map(|job| JobLine::new(tenant, job)).collect(),
        equivalent: Equivalent::new()
            .with("The schedules", format!("millstream schedule list --tenant {tenant}"))
            .with("The sensors", format!("millstream sensor list --tenant {tenant}"))
            .with("The jobs", format!("millstream job list --tenant {tenant}"))
            .with("Launch one", format!("millstream job launch NAME --tenant {tenant}"))
            .with("As JSON", format!("GET /{tenant}/api/v1/schedules")),
        frame: page.frame,
    })
}
