//! One job: its schedule and switch, its steps as they last ran, a form that launches it.

use askama::Template;
use millstream_model::view::{JobRow, RunRow, StepRow};
use millstream_model::{Timestamp, shell_word};

use crate::format;
use crate::frame::Frame;
use crate::html::Html;
use crate::link;
use crate::pages::automation::{Decided, JobLine};
use crate::pages::gantt::Gantt;
use crate::parts::{Badge, Equivalent, RunLine, RunTable};

/// What the page shows.
#[derive(Debug, Clone)]
pub struct JobPage {
    /// The frame.
    pub frame: Frame,
    /// The time of the answer.
    pub now: Timestamp,
    /// The job.
    pub job: JobRow,
    /// Its newest runs, newest first.
    pub runs: Vec<RunRow>,
    /// The steps of the newest of them, in topological order.
    pub steps: Vec<StepRow>,
}

#[derive(Template)]
#[template(path = "job.html")]
struct Job {
    frame: Frame,
    line: JobLine,
    badge: Badge,
    verdict: String,
    newest: Option<RunLine>,
    gantt: Option<Gantt>,
    table: RunTable,
    facts: Vec<(&'static str, String)>,
    action: String,
    equivalent: Equivalent,
}

/// The page.
pub fn job(page: JobPage) -> Html {
    let (job, tenant) = (&page.job, &page.frame.tenant);
    let newest = page.runs.first();
    let name = shell_word(job.name.as_str());
    Html::render(&Job {
        line: JobLine::new(tenant, job),
        badge: Badge::switch(job.enabled.into()),
        verdict: verdict(&page),
        newest: newest.map(|run| RunLine::new(run, page.now)),
        gantt: newest
            .map(|run| Gantt::new(run, &page.steps, &link::run(tenant, &run.run_id), page.now)),
        table: RunTable::new(&page.runs, page.now),
        facts: facts(job),
        action: link::launch(tenant, &job.name),
        equivalent: Equivalent::new()
            .with("Launch it", format!("millstream job launch {name} --tenant {tenant}"))
            .with("Launch by API", {
                format!("POST /{tenant}/api/v1/jobs/{}/launch", link::segment(job.name.as_str()))
            })
            .with("Its runs", format!("millstream run list --job {name} --tenant {tenant}")),
        frame: page.frame,
    })
}

fn verdict(page: &JobPage) -> String {
    let job = &page.job;
    let when = match (&job.schedule, job.next_at) {
        (Some(cron), Some(at)) if job.enabled => {
            let next = format::relative(page.now, at);
            if job.late_since.is_some() {
                format!("Runs at {cron}, and is late: due {next}")
            } else {
                format!("Runs at {cron}, next {next}")
            }
        }
        (Some(cron), _) => format!("Would run at {cron}, but is off"),
        (None, _) if job.enabled => "Runs when somebody launches it".to_owned(),
        (None, _) => "Is off".to_owned(),
    };
    match &job.enabled_override {
        Some(word) => {
            let (to, file) = if word.on { ("on", "off") } else { ("off", "on") };
            format!("{when} · turned {to} by hand, by {}; the file says {file}.", word.by)
        }
        None => format!("{when}."),
    }
}

fn facts(job: &JobRow) -> Vec<(&'static str, String)> {
    vec![
        ("File", job.file.clone()),
        ("Location", job.location.to_string()),
        ("Version", job.version.short().to_owned()),
        ("Steps", if job.steps == 0 { "by selection".to_owned() } else { job.steps.to_string() }),
    ]
}
