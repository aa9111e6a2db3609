//! Every page once, from the sample rows.

use axum::http::StatusCode;
use millstream_blob::LogStream;
use millstream_control::{Because, GoingOn, Silent, Tries, Try};
use millstream_model::view::{AssetRow, FileRow, FileState, Pin, RunRow, VersionRow};
use millstream_model::{ContentHash, ErrorCode, TickKind};
use millstream_server::frame::{Frame, Section, Theme};
use millstream_server::html::Html;
use millstream_server::pages::asset::{AssetPage, asset};
use millstream_server::pages::assets::{AssetsPage, assets};
use millstream_server::pages::automation::{AutomationPage, automation};
use millstream_server::pages::daemons::{DaemonsPage, daemons};
use millstream_server::pages::dead_letters::{DeadLettersPage, dead_letters};
use millstream_server::pages::definitions::{DefinitionsPage, definitions};
use millstream_server::pages::error::{ErrorPage, error};
use millstream_server::pages::file::{FilePage, file};
use millstream_server::pages::job::{JobPage, job};
use millstream_server::pages::log::{Growth, LogWindow};
use millstream_server::pages::now::{NowPage, now};
use millstream_server::pages::queue::{QueuePage, queue};
use millstream_server::pages::run::{RunPage, RunTab, run};
use millstream_server::pages::runs::{RunFilter, RunsPage, runs};
use millstream_server::pages::schedule::{SchedulePage, schedule};
use millstream_server::pages::tenants::{TenantsPage, tenants};

use crate::{samples, schedule_samples};

/// Every page by a name for its file.
pub(crate) fn all(theme: Theme) -> Vec<(&'static str, Html)> {
    let mut pages = lists(theme);
    pages.extend([
        ("run-failed", run_page(theme, RunTab::Story)),
        ("run-events", run_page(theme, RunTab::Events)),
        ("run-output", run_page(theme, RunTab::Output(Some(log())))),
        ("run-queued", queued_page(theme)),
        ("asset", asset_page(theme, 0)),
        ("asset-partitioned", asset_page(theme, 2)),
        ("job", job_page(theme)),
        ("schedule", schedule_page(theme)),
        ("error", error_page(theme)),
    ]);
    pages
}

fn newest_runs(frame: Frame) -> RunsPage {
    RunsPage {
        frame,
        now: samples::now(),
        filter: RunFilter::default(),
        runs: samples::runs(),
        before: None,
        searched_to: None,
        next: Some(samples::run_id(23)),
    }
}

/// The first page, of an instance where things have failed.
pub(crate) fn now_page(theme: Theme) -> NowPage {
    NowPage {
        frame: samples::frame(Section::Now, theme),
        now: samples::now(),
        attention: vec![samples::failed_run(), samples::runs().remove(12)],
        going_on: GoingOn {
            in_progress: 1,
            queued: 1,
            runs: vec![samples::running_run(), samples::runs().remove(0)],
        },
        runs: samples::runs(),
        jobs: samples::jobs(),
        schedules: schedule_samples::rows(),
        sensors: Vec::new(),
        assets: samples::assets(),
        files: samples::files(),
    }
}

fn lists(theme: Theme) -> Vec<(&'static str, Html)> {
    let frame = |section| samples::frame(section, theme);
    let now_page = now_page(theme);
    let empty_page = NowPage {
        attention: Vec::new(),
        going_on: GoingOn::default(),
        runs: Vec::new(),
        jobs: Vec::new(),
        schedules: Vec::new(),
        sensors: Vec::new(),
        assets: Vec::new(),
        files: Vec::new(),
        ..now_page.clone()
    };
    let runs_page = newest_runs(frame(Section::Runs));
    let (time, system) = (samples::now(), frame(Section::System));
    let (asset_rows, jobs, files) = (samples::assets(), samples::jobs(), samples::files());
    vec![
        ("now", now(now_page)),
        ("now-empty", now(empty_page)),
        ("runs", runs(runs_page)),
        (
            "dead-letters",
            dead_letters(DeadLettersPage {
                frame: frame(Section::Runs),
                now: samples::now(),
                letters: samples::dead_letters(),
            }),
        ),
        (
            "assets",
            assets(AssetsPage { frame: frame(Section::Assets), now: time, assets: asset_rows }),
        ),
        (
            "automation",
            automation(AutomationPage {
                frame: frame(Section::Automation),
                now: time,
                jobs,
                schedules: schedule_samples::rows(),
                sensors: Vec::new(),
            }),
        ),
        (
            "definitions",
            definitions(DefinitionsPage {
                frame: system.clone(),
                now: time,
                root: "/project/dags".to_owned(),
                files,
                passed_over: Vec::new(),
                silent: vec![Silent {
                    kind: TickKind::Schedule,
                    name: "per_tenant".to_owned(),
                    why: "its `cron` is `{{ tenant.schedule }}`, and the tenant has no `schedule`"
                        .to_owned(),
                }],
            }),
        ),
        ("file", file_page(theme)),
        ("daemons", daemons_page(theme)),
        ("queue", queue(QueuePage { frame: system.clone(), now: time, queue: samples::queue() })),
        ("tenants", tenants(TenantsPage { frame: system, tenants: samples::tenants() })),
    ]
}

fn daemons_page(theme: Theme) -> Html {
    let frame = samples::frame(Section::System, theme);
    daemons(DaemonsPage { frame, now: samples::now(), daemons: samples::daemons() })
}

fn file_page(theme: Theme) -> Html {
    let pin = Some(Pin { number: 1, by: "ana".to_owned(), at: samples::now() });
    let sample = samples::files().remove(0);
    let shown = FileRow { state: FileState::Live, number: Some(1), pin, ..sample };
    file_of(theme, shown, 3)
}

/// The page of a file with this many versions.
pub(crate) fn file_of(theme: Theme, shown: FileRow, count: u32) -> Html {
    let now = samples::now();
    let version = |number: u32| VersionRow {
        number,
        hash: ContentHash::of(&number.to_be_bytes()),
        loaded_at: now,
    };
    file(FilePage {
        frame: samples::frame(Section::System, theme),
        now,
        file: shown,
        versions: (1..=count).rev().map(version).collect(),
    })
}

/// A schedule that somebody stopped, with ticks of each outcome and a test.
fn schedule_page(theme: Theme) -> Html {
    let fires = (1..4).map(|hours| samples::now().after(std::time::Duration::from_hours(hours)));
    schedule(SchedulePage {
        frame: samples::frame(Section::Automation, theme),
        now: samples::now(),
        schedule: schedule_samples::rows().remove(1),
        ticks: schedule_samples::ticks(),
        fires: fires.collect(),
        test: Some(schedule_samples::test()),
    })
}

fn job_page(theme: Theme) -> Html {
    job(JobPage {
        frame: samples::frame(Section::Automation, theme),
        now: samples::now(),
        job: samples::jobs().remove(2),
        runs: vec![samples::failed_run()],
        steps: samples::steps(),
    })
}

fn error_page(theme: Theme) -> Html {
    error(ErrorPage {
        status: StatusCode::NOT_FOUND,
        code: ErrorCode::RunUnknown,
        message: "tenant jfk has no run 0199-nope".to_owned(),
        help: "`millstream run list` shows the runs that there are.".to_owned(),
        request_id: "7f3a-12".to_owned(),
        tenant: Some(samples::tenant()),
        theme,
    })
}

fn run_page(theme: Theme, tab: RunTab) -> Html {
    run(RunPage {
        frame: samples::frame(Section::Runs, theme),
        now: samples::now(),
        run: samples::failed_run(),
        place: None,
        steps: samples::steps(),
        events: samples::events(),
        tab,
        older_plan: None,
    })
}

fn queued_page(theme: Theme) -> Html {
    page_of((samples::runs().remove(0), Some(2)), theme)
}

/// The page of a run in its place among those that wait.
pub(crate) fn page_of((shown, place): (RunRow, Option<u32>), theme: Theme) -> Html {
    run(RunPage {
        frame: samples::frame(Section::Runs, theme),
        now: samples::now(),
        run: shown,
        place,
        steps: Vec::new(),
        events: samples::events()[..1].to_vec(),
        tab: RunTab::Story,
        older_plan: None,
    })
}

fn asset_page(theme: Theme, index: usize) -> Html {
    tried_asset(theme, index, Vec::new())
}

/// The page of an asset since whose last build there were these tries.
pub(crate) fn tried_asset(theme: Theme, index: usize, newest: Vec<Try>) -> Html {
    asset_since(theme, index, (newest, Vec::new()))
}

/// The page of an asset with its tries since it was made, and with what says that it is stale.
pub(crate) fn asset_since(
    theme: Theme,
    index: usize,
    (newest, stale): (Vec<Try>, Vec<Because>),
) -> Html {
    asset(page_of_asset(theme, samples::assets().remove(index), (newest, stale)))
}

/// What the page of an asset shows.
pub(crate) fn page_of_asset(
    theme: Theme,
    row: AssetRow,
    (newest, stale): (Vec<Try>, Vec<Because>),
) -> AssetPage {
    AssetPage {
        frame: samples::frame(Section::Assets, theme),
        now: samples::now(),
        partitions: if row.partitions.is_some() { samples::partitions() } else { Vec::new() },
        asset: row,
        feeds: vec!["snowflake_metric_cache".parse().unwrap()],
        history: (0..12).map(samples::materialization).collect(),
        tries: Tries { newest, ..Tries::default() },
        in_vain: Vec::new(),
        never_made: Vec::new(),
        stale,
        coming: Vec::new(),
    }
}

fn log() -> LogWindow {
    let bytes: Vec<u8> = (1..=40)
        .flat_map(|n| {
            ["read payments_", &n.to_string(), ".csv: 8,701 rows\n"].concat().into_bytes()
        })
        .collect();
    LogWindow {
        step: "stg_payments".parse().unwrap(),
        attempt: 3,
        stream: LogStream::Err,
        offset: 0,
        size: bytes.len() as u64,
        bytes,
        growth: Growth::Closed,
    }
}
