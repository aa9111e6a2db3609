//! What runs by itself: the jobs with their schedules and switches.

use askama::Template;
use millstream_model::view::JobRow;
use millstream_model::{TenantId, Timestamp};

use crate::format::{self, Moment};
use crate::frame::Frame;
use crate::html::Html;
use crate::link;
use crate::parts::{Badge, Equivalent};

/// What the page shows.
#[derive(Debug, Clone)]
pub struct AutomationPage {
    /// The frame.
    pub frame: Frame,
    /// The time of the answer.
    pub now: Timestamp,
    /// The jobs by name.
    pub jobs: Vec<JobRow>,
}

#[derive(Template)]
#[template(path = "automation.html")]
struct Automation {
    frame: Frame,
    verdict: String,
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
    /// Its cron expression.
    pub schedule: String,
    /// When its schedule is due next.
    pub next: Option<Moment>,
    /// Where its switch posts.
    pub switch: String,
    /// What its switch would set.
    pub turns: &'static str,
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
    /// The line of `job` as it reads at `now`.
    pub fn new(tenant: &TenantId, job: &JobRow, now: Timestamp) -> Self {
        Self {
            name: job.name.to_string(),
            href: link::job(tenant, &job.name),
            badge: Badge::switch(job.enabled.into()),
            decided: if job.enabled_override.is_some() { Decided::Override } else { Decided::File },
            description: job.description.clone().unwrap_or_default(),
            schedule: job.schedule.clone().unwrap_or_default(),
            next: job.next_at.filter(|_| job.enabled).map(|at| Moment::relative(now, at)),
            switch: link::switch(tenant, &job.name),
            turns: if job.enabled { "off" } else { "on" },
        }
    }

    /// What the page says about the switch, beside its state.
    pub fn word(&self) -> &'static str {
        match self.decided {
            Decided::File => "",
            Decided::Override => "by hand",
        }
    }
}

/// The page.
pub fn automation(page: AutomationPage) -> Html {
    let tenant = &page.frame.tenant;
    let scheduled = page.jobs.iter().filter(|job| job.enabled && job.schedule.is_some()).count();
    let off = page.jobs.iter().filter(|job| !job.enabled).count();
    let total = format::plural(page.jobs.len() as u64, "job", "jobs");
    let off = if off > 0 { format!(" · {off} off") } else { String::new() };
    let unfired = if scheduled > 0 { " · schedules are not fired yet" } else { "" };
    Html::render(&Automation {
        verdict: format!("{total} · {scheduled} scheduled{off}{unfired}"),
        lines: page.jobs.iter().map(|job| JobLine::new(tenant, job, page.now)).collect(),
        equivalent: Equivalent::new()
            .with("This list", format!("millstream job list --tenant {tenant}"))
            .with("Launch one", format!("millstream job launch NAME --tenant {tenant}"))
            .with("As JSON", format!("GET /{tenant}/api/v1/jobs")),
        frame: page.frame,
    })
}
