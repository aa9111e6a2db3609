//! The first page: what needs attention, what runs, what comes next.

use askama::Template;
use millstream_control::GoingOn;
use millstream_model::view::{
    AssetRow, FileRow, FileState, JobRow, PartitionState, RunRow, ScheduleRow, SensorRow,
};
use millstream_model::{RunStatus, Severity, TenantId, TickRow, TickStatus, Timestamp};

use crate::format::{self, Moment};
use crate::frame::Frame;
use crate::html::Html;
use crate::link;
use crate::parts::{Badge, Equivalent, Glyph, RunLine, RunTable, why};

/// What the page shows.
#[derive(Debug, Clone)]
pub struct NowPage {
    /// The frame.
    pub frame: Frame,
    /// The time of the answer.
    pub now: Timestamp,
    /// The runs that failed and are open, newest first.
    pub attention: Vec<RunRow>,
    /// The runs that are not over.
    pub going_on: GoingOn,
    /// The newest runs, newest first.
    pub runs: Vec<RunRow>,
    /// The jobs.
    pub jobs: Vec<JobRow>,
    /// The schedules.
    pub schedules: Vec<ScheduleRow>,
    /// The sensors.
    pub sensors: Vec<SensorRow>,
    /// The assets.
    pub assets: Vec<AssetRow>,
    /// The definition files.
    pub files: Vec<FileRow>,
}

/// Most failed runs among what needs attention; the runs page has all.
const RUNS_MAX: usize = 8;
/// Most files, and most schedules and sensors, among it; their own pages have all.
const OTHERS_MAX: usize = 4;
/// Most schedules under "next".
const NEXT_MAX: usize = 5;

#[derive(Template)]
#[template(path = "now.html")]
struct Now {
    frame: Frame,
    verdict: Verdict,
    as_of: String,
    attention: Vec<Attention>,
    more: Vec<(String, String)>,
    going_on: Vec<RunLine>,
    hidden: Vec<(String, String)>,
    next: Vec<Next>,
    table: RunTable,
    equivalent: Equivalent,
}

struct Verdict {
    glyph: Glyph,
    text: String,
}

struct Attention {
    key: String,
    badge: Badge,
    what: String,
    partition: String,
    why: String,
    href: String,
    when: Option<Moment>,
}

struct Next {
    name: String,
    href: String,
    schedule: String,
    when: Moment,
    late: bool,
}

/// The page.
pub fn now(page: NowPage) -> Html {
    let (attention, more, total) = attention(&page);
    let verdict = verdict(&page, total);
    let going_on = page.going_on.runs.iter().map(|run| RunLine::new(run, page.now)).collect();
    Html::render(&Now {
        verdict,
        as_of: format::time_of_day(page.now),
        attention,
        more,
        going_on,
        hidden: hidden(&page),
        next: next(&page),
        table: RunTable::new(&page.runs, page.now),
        equivalent: Equivalent::new()
            .with("The newest runs", "millstream run list".to_owned())
            .with("The same as JSON", format!("GET /{}/api/v1/runs", page.frame.tenant)),
        frame: page.frame,
    })
}

/// What needs attention, what of it is behind the links to its pages, and how many there are.
///
/// Files come first: they are few, and may be why something else fails.
fn attention(page: &NowPage) -> (Vec<Attention>, Vec<(String, String)>, usize) {
    let tenant = &page.frame.tenant;
    let files = page.files.iter().filter_map(|file| file_attention(tenant, file)).collect();
    let ticking = ticking_attention(page).collect();
    let runs = page.attention.iter().map(|run| run_attention(page, run)).collect();
    let of_runs = link::runs_where(tenant, "status:failed");
    let kinds: [(Vec<Attention>, usize, [&str; 2], String); 3] = [
        (files, OTHERS_MAX, ["file", "files"], link::definitions(tenant)),
        (
            ticking,
            OTHERS_MAX,
            ["schedule or sensor", "schedules and sensors"],
            link::automation(tenant),
        ),
        (runs, RUNS_MAX, ["failed run", "failed runs"], of_runs),
    ];
    let (mut shown, mut more, mut total) = (Vec::new(), Vec::new(), 0);
    for (mut lines, most, [one, many], href) in kinds {
        total += lines.len();
        let hidden = lines.len().saturating_sub(most);
        lines.truncate(most);
        shown.extend(lines);
        if hidden > 0 {
            let word = if hidden == 1 { one } else { many };
            more.push((format!("{hidden} more {word}"), href));
        }
    }
    (shown, more, total)
}

/// What goes on and is not listed, with the page that has it.
fn hidden(page: &NowPage) -> Vec<(String, String)> {
    let (tenant, going_on) = (&page.frame.tenant, &page.going_on);
    let is_queued = |run: &&RunRow| run.status == RunStatus::Queued;
    let queued = going_on.runs.iter().filter(is_queued).count() as u64;
    let running = (going_on.runs.len() as u64).saturating_sub(queued);
    let kinds = [
        (going_on.in_progress, running, "running", link::runs_where(tenant, "status:running")),
        (going_on.queued, queued, "queued", link::queue(tenant)),
    ];
    let more = kinds.into_iter().filter_map(|(all, listed, word, href)| {
        let more = u64::from(all).saturating_sub(listed);
        (more > 0).then(|| (format!("and {more} more {word}"), href))
    });
    more.collect()
}

fn run_attention(page: &NowPage, run: &RunRow) -> Attention {
    let line = RunLine::new(run, page.now);
    Attention {
        key: line.id,
        badge: line.badge,
        what: line.title,
        partition: line.partition.unwrap_or_default(),
        why: line.why,
        href: line.href,
        when: run.ended_at.map(|at| Moment::relative(page.now, at)),
    }
}

/// The schedules and sensors that are on and whose last tick failed.
fn ticking_attention(page: &NowPage) -> impl Iterator<Item = Attention> {
    let tenant = &page.frame.tenant;
    let schedules = page.schedules.iter().filter(|row| row.enabled).filter_map(|row| {
        let (tick, href) = (row.last_tick.as_ref()?, link::schedule(tenant, &row.name));
        failed_tick(("schedule", row.name.as_str()), tick, (href, page.now))
    });
    let sensors = page.sensors.iter().filter(|row| row.enabled).filter_map(|row| {
        let (tick, href) = (row.last_tick.as_ref()?, link::sensor(tenant, &row.name));
        failed_tick(("sensor", row.name.as_str()), tick, (href, page.now))
    });
    schedules.chain(sensors)
}

fn failed_tick(
    (kind, name): (&str, &str),
    tick: &TickRow,
    (href, now): (String, Timestamp),
) -> Option<Attention> {
    (tick.status == TickStatus::Failed).then(|| Attention {
        key: format!("{kind}-{name}"),
        badge: Badge::tick(tick.status),
        what: name.to_owned(),
        partition: String::new(),
        why: format!("its last tick failed: {}", why(tick)),
        href,
        when: Some(Moment::relative(now, tick.nominal)),
    })
}

fn file_attention(tenant: &TenantId, file: &FileRow) -> Option<Attention> {
    let why = match file.state {
        FileState::Live | FileState::Deleted => return None,
        FileState::Stale => "the file cannot be seen; its last version stays live".to_owned(),
        FileState::LastGood | FileState::Broken => {
            let mut found = file.diagnostics.iter();
            // Warnings keep no file from being live.
            let first = found.find(|it| it.severity == Severity::Error);
            first.map_or_else(String::new, |found| format!("{}: {}", found.place, found.message))
        }
    };
    Some(Attention {
        key: format!("file-{}", file.name),
        badge: Badge::file(file.state),
        what: file.name.clone(),
        partition: String::new(),
        why,
        href: link::file(tenant, &file.name),
        when: None,
    })
}

fn verdict(page: &NowPage, attention: usize) -> Verdict {
    let GoingOn { in_progress: running, queued, .. } = page.going_on;
    let is_idle = page.frame.idle.is_some();
    let mut parts = Vec::new();
    if is_idle {
        parts.push("Off".to_owned());
    }
    match attention {
        0 if is_idle => {}
        0 => parts.push("Nothing needs attention".to_owned()),
        1 => parts.push("1 needs attention".to_owned()),
        many => parts.push(format!("{many} need attention")),
    }
    if running > 0 {
        parts.push(format!("{running} running"));
    }
    if queued > 0 {
        parts.push(format!("{queued} queued"));
    }
    if !page.assets.is_empty() {
        let built = page.assets.iter().filter(|asset| is_built(asset)).count();
        let all = format::plural(page.assets.len() as u64, "asset", "assets");
        parts.push(format!("{built} of {all} built"));
    }
    Verdict {
        glyph: match attention {
            0 if is_idle => Glyph::Paused,
            0 => Glyph::Ok,
            _ => Glyph::Failed,
        },
        text: parts.join(" · "),
    }
}

/// Whether the asset, with all of its partitions, was made.
pub fn is_built(asset: &AssetRow) -> bool {
    let unmade = asset.counts.iter().any(|(state, number)| {
        *number > 0 && matches!(state, PartitionState::Missing | PartitionState::Failed)
    });
    asset.is_made() && !unmade
}

fn next(page: &NowPage) -> Vec<Next> {
    let mut due: Vec<(Timestamp, &ScheduleRow)> =
        page.schedules.iter().filter_map(|row| row.due_at().map(|at| (at, row))).collect();
    due.sort_by_key(|(at, row)| (*at, row.name.clone()));
    let shown = due.into_iter().take(NEXT_MAX).map(|(at, row)| Next {
        name: row.name.to_string(),
        href: link::schedule(&page.frame.tenant, &row.name),
        schedule: format!("{} {}", row.cron, row.timezone),
        when: Moment::relative(page.now, at),
        late: row.late_since.is_some(),
    });
    shown.collect()
}
