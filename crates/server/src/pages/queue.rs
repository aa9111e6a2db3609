//! What waits: runs in the queue, and steps for the slots of pools, each with its reason.

use askama::Template;
use millstream_model::view::{PoolRow, PoolStepRow, QueueRow, QueueView};
use millstream_model::{HoldReason, LimitScope, Timestamp};

use crate::format;
use crate::frame::Frame;
use crate::html::Html;
use crate::link;
use crate::parts::{Badge, Equivalent};

/// Holders and waiting steps of one pool that the page names.
const NAMED_MAX: usize = 5;

/// What the page shows.
#[derive(Debug, Clone)]
pub struct QueuePage {
    /// The frame.
    pub frame: Frame,
    /// The time of the answer.
    pub now: Timestamp,
    /// What waits.
    pub queue: QueueView,
}

#[derive(Template)]
#[template(path = "queue.html")]
struct Queue {
    verdict: String,
    runs: Vec<RunLine>,
    more: Option<String>,
    pools: Vec<PoolLine>,
    equivalent: Equivalent,
    frame: Frame,
}

struct RunLine {
    place: u32,
    badge: Badge,
    title: String,
    href: String,
    since: String,
    why: String,
}

struct PoolLine {
    name: String,
    held: String,
    scope: &'static str,
    holders: Vec<(String, String)>,
    others: String,
    waiting: String,
}

/// The page.
pub fn queue(page: QueuePage) -> Html {
    let QueuePage { frame, now, queue: QueueView { waiting, waiting_total, pools } } = page;
    let tenant = &frame.tenant;
    let total = u64::from(waiting_total);
    let more = total.saturating_sub(waiting.len() as u64);
    Html::render(&Queue {
        verdict: match total {
            0 => "No run waits.".to_owned(),
            total => format!("{} in the queue.", format::plural(total, "run waits", "runs wait")),
        },
        runs: waiting.iter().map(|row| run_line(row, now)).collect(),
        more: (more > 0).then(|| format!("{} behind these.", format::plural(more, "run", "runs"))),
        pools: pools.iter().map(|pool| pool_line(tenant, pool)).collect(),
        equivalent: Equivalent::new()
            .with("What waits", "millstream queue show".to_owned())
            .with("As JSON", format!("GET /{tenant}/api/v1/queue")),
        frame,
    })
}

fn run_line(row: &QueueRow, now: Timestamp) -> RunLine {
    let run = &row.run;
    let partition = run.partition.as_ref().map(|key| format!(" · {key}")).unwrap_or_default();
    RunLine {
        place: row.place,
        badge: Badge::run(run.status),
        title: format!("{}{partition}", run.title),
        href: link::run(&run.tenant, &run.run_id),
        since: format::took(now.since(run.queued_at)),
        why: run.hold.as_ref().map_or_else(String::new, HoldReason::to_string),
    }
}

fn pool_line(tenant: &millstream_model::TenantId, pool: &PoolRow) -> PoolLine {
    let others = u64::from(pool.held_by_others);
    let held = others + pool.held_by.iter().map(|step| u64::from(step.slots)).sum::<u64>();
    let named = |step: &PoolStepRow| {
        (format!("{} of {}", step.step, step.run_id.short()), link::run(tenant, &step.run_id))
    };
    PoolLine {
        name: pool.name.to_string(),
        held: format!("{held} of {}", pool.slots),
        scope: match pool.scope {
            LimitScope::Tenant => "",
            LimitScope::Instance => "shared by all tenants",
        },
        holders: pool.held_by.iter().take(NAMED_MAX).map(named).collect(),
        others: match others {
            0 => String::new(),
            some => format!("{some} by other tenants"),
        },
        waiting: match pool.waiting.len() {
            0 => String::new(),
            count => format::plural(count as u64, "step waits", "steps wait"),
        },
    }
}
