//! Loading what each page shows.

use axum::extract::{OriginalUri, State};
use axum::http::HeaderMap;
use millstream_blob::{LogKey, LogStream};
use millstream_control::{ControlError, RunFilter};
use millstream_model::view::{FileRow, JobRow, RunRow, StepRow};
use millstream_model::{ErrorCode, JobName, RunId, TenantId, did_you_mean};
use serde::Deserialize;

use crate::access::Visitor;
use crate::api::logs::growth;
use crate::frame::Section;
use crate::html::Html;
use crate::input::{AssetPath, JobPath, Params, RunPath, Segments, asset_key, job_name};
use crate::mask::masked;
use crate::pages;
use crate::pages::asset::AssetPage;
use crate::pages::assets::AssetsPage;
use crate::pages::automation::AutomationPage;
use crate::pages::daemons::DaemonsPage;
use crate::pages::definitions::DefinitionsPage;
use crate::pages::job::JobPage;
use crate::pages::log::{LogWindow, WINDOW_BYTES};
use crate::pages::now::NowPage;
use crate::pages::queue::QueuePage;
use crate::pages::run::{RunPage, RunTab, may_retry, telling_step};
use crate::pages::runs::RunsPage;
use crate::pages::tenants::TenantsPage;
use crate::problem::Problem;
use crate::state::ServerState;
use crate::ui::visit::Visit;

/// Runs on the first page.
const NEWEST: u32 = 24;
/// Runs in one page of the list.
const PAGE: u32 = 50;
/// Runs on a job's page.
const RUNS_OF_JOB: u32 = 20;
/// Events on a run's page.
const EVENTS: u32 = 2_000;

/// The first page of a tenant.
pub(crate) async fn now(
    State(state): State<ServerState>,
    visitor: Visitor,
    uri: OriginalUri,
    headers: HeaderMap,
) -> Result<Html, Problem> {
    let visit = Visit::new(&state, &visitor, (&uri, &headers))?;
    let topics = "runs assets definitions".to_owned();
    let attention = state.control.attention(visit.tenant).await?;
    let frame = visit.frame_around(&attention, Section::Now, topics).await?;
    let page = NowPage {
        frame,
        now: state.control.now(),
        attention,
        going_on: state.control.going_on(visit.tenant).await?,
        runs: list(&state, visit.tenant, &RunFilter::default(), NEWEST).await?,
        jobs: state.control.job_rows(visit.tenant).await?,
        schedules: state.control.schedule_rows(visit.tenant).await?,
        sensors: state.control.sensor_rows(visit.tenant).await?,
        assets: state.control.asset_rows(visit.tenant).await?,
        files: files(&state).await?,
    };
    Ok(pages::now::now(page))
}

async fn files(state: &ServerState) -> Result<Vec<FileRow>, Problem> {
    let views = state.control.location_views().await.map_err(ControlError::from)?;
    Ok(views.into_iter().flat_map(|view| view.files).collect())
}

/// What the address of the list of runs says.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct RunsQuery {
    #[serde(default)]
    q: String,
    before: Option<RunId>,
    queued: Option<u32>,
}

/// The list of runs.
pub(crate) async fn runs(
    State(state): State<ServerState>,
    visitor: Visitor,
    (uri, headers): (OriginalUri, HeaderMap),
    Params(query): Params<RunsQuery>,
) -> Result<Html, Problem> {
    let visit = Visit::new(&state, &visitor, (&uri, &headers))?;
    let filter = pages::runs::RunFilter::parse(&query.q);
    let wanted = RunFilter {
        status: filter.status,
        job: filter.job.clone(),
        tag: filter.tag.clone(),
        before: query.before,
        ..RunFilter::default()
    };
    let mut runs = list(&state, visit.tenant, &wanted, PAGE + 1).await?;
    let has_more = runs.len() > PAGE as usize;
    runs.truncate(PAGE as usize);
    let next = if has_more { runs.last().map(|run| run.run_id) } else { None };
    // A page further down does not change under the reader.
    let topics = if query.before.is_none() { "runs".to_owned() } else { String::new() };
    let mut frame = visit.frame(Section::Runs, topics).await?;
    frame.notice = query.queued.map(|number| {
        let runs = crate::format::plural(number.into(), "run is", "runs are");
        format!("{runs} queued; partitions of other tenants run there.")
    });
    let tenants = std::slice::from_ref(visit.tenant);
    let searched_to = state.control.store().run_search_end(tenants, &wanted).await;
    let searched_to = searched_to.map_err(ControlError::from)?;
    let (now, before) = (state.control.now(), query.before);
    Ok(pages::runs::runs(RunsPage { frame, now, filter, runs, before, next, searched_to }))
}

async fn list(
    state: &ServerState,
    tenant: &TenantId,
    filter: &RunFilter,
    limit: u32,
) -> Result<Vec<RunRow>, Problem> {
    Ok(state.control.newest_runs(tenant, filter, limit).await?)
}

/// What the address of a run's page says.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct RunQuery {
    #[serde(default)]
    tab: String,
    step: Option<String>,
    attempt: Option<u32>,
    #[serde(default)]
    stream: String,
    offset: Option<u64>,
}

/// The page of a run.
pub(crate) async fn run(
    State(state): State<ServerState>,
    visitor: Visitor,
    (uri, headers): (OriginalUri, HeaderMap),
    (Segments(path), Params(query)): (Segments<RunPath>, Params<RunQuery>),
) -> Result<Html, Problem> {
    let visit = Visit::new(&state, &visitor, (&uri, &headers))?;
    let found = state.control.find_run(std::slice::from_ref(visit.tenant), &path.run).await?;
    let view = state.control.run_view(visit.tenant, found.run_id).await?;
    let start = (0, i64::MIN);
    let events = state.control.store().run_events(visit.tenant, found.run_id, start, EVENTS).await;
    let tab = match query.tab.as_str() {
        "events" => RunTab::Events,
        "output" => RunTab::Output(output(&state, &view.run, &view.steps, &query).await?),
        _ => RunTab::Story,
    };
    let mut frame = visit.frame(Section::Runs, format!("run-{}", found.run_id)).await?;
    let older_plan = if may_retry(&view.run, &frame) {
        state.control.older_plan_words(visit.tenant, found.run_id).await?
    } else {
        None
    };
    if !matches!(query.tab.as_str(), "" | "story" | "events" | "output") {
        frame.notice = Some(format!("There is no tab {:?}; this is the story.", query.tab));
    }
    Ok(pages::run::run(RunPage {
        frame,
        now: state.control.now(),
        run: view.run,
        place: view.place,
        steps: view.steps,
        events: events.map_err(ControlError::from)?,
        tab,
        older_plan,
    }))
}

/// The window of the step's output that the address asks for; the end of it when it asks for none.
async fn output(
    state: &ServerState,
    run: &RunRow,
    steps: &[StepRow],
    query: &RunQuery,
) -> Result<Option<LogWindow>, Problem> {
    let named = query.step.as_deref();
    let step = match named {
        Some(name) => steps.iter().find(|step| step.step.as_str() == name),
        None => telling_step(steps),
    };
    let Some(step) = step.filter(|step| step.attempt > 0) else { return Ok(None) };
    let attempt = query.attempt.unwrap_or(step.attempt).clamp(1, step.attempt);
    let stream = if query.stream == "err" { LogStream::Err } else { LogStream::Out };
    let key = LogKey {
        tenant: run.tenant.clone(),
        run: run.run_id,
        step: step.step.clone(),
        attempt,
        stream,
    };
    // A read of no bytes returns only the size.
    let size = state.blobs.read_log(&key, 0, 0).await?.size;
    let offset = query.offset.unwrap_or_else(|| size.saturating_sub(WINDOW_BYTES));
    let part = state.blobs.read_log(&key, offset, WINDOW_BYTES).await?;
    Ok(Some(LogWindow {
        step: step.step.clone(),
        attempt,
        stream,
        offset,
        size: part.size,
        bytes: part.bytes,
        growth: growth(run, step, attempt),
    }))
}

/// The list of assets.
pub(crate) async fn assets(
    State(state): State<ServerState>,
    visitor: Visitor,
    (uri, headers): (OriginalUri, HeaderMap),
) -> Result<Html, Problem> {
    let visit = Visit::new(&state, &visitor, (&uri, &headers))?;
    let frame = visit.frame(Section::Assets, "assets definitions".to_owned()).await?;
    let assets = state.control.listed_assets(visit.tenant).await?;
    Ok(pages::assets::assets(AssetsPage { frame, now: state.control.now(), assets }))
}

/// The page of an asset.
pub(crate) async fn asset(
    State(state): State<ServerState>,
    visitor: Visitor,
    (uri, headers): (OriginalUri, HeaderMap),
    Segments(path): Segments<AssetPath>,
) -> Result<Html, Problem> {
    let visit = Visit::new(&state, &visitor, (&uri, &headers))?;
    let view = state.control.asset_view(visit.tenant, &asset_key(&path.asset)?).await?;
    Ok(pages::asset::asset(AssetPage {
        frame: visit.frame(Section::Assets, "assets definitions".to_owned()).await?,
        now: state.control.now(),
        asset: view.asset,
        feeds: view.feeds,
        history: view.history,
        partitions: view.partitions,
        tries: view.tries,
        in_vain: view.in_vain,
        never_made: view.never_made,
        stale: view.stale,
        coming: view.coming,
    }))
}

/// What runs by itself.
pub(crate) async fn automation(
    State(state): State<ServerState>,
    visitor: Visitor,
    (uri, headers): (OriginalUri, HeaderMap),
) -> Result<Html, Problem> {
    let visit = Visit::new(&state, &visitor, (&uri, &headers))?;
    let frame = visit.frame(Section::Automation, "runs definitions".to_owned()).await?;
    let jobs = state.control.job_rows(visit.tenant).await?;
    let schedules = state.control.schedule_rows(visit.tenant).await?;
    let sensors = state.control.sensor_rows(visit.tenant).await?;
    let now = state.control.now();
    Ok(pages::automation::automation(AutomationPage { frame, now, jobs, schedules, sensors }))
}

/// The job of a tenant that is called `name`, or an error that names the way out.
pub(crate) async fn job_row(
    state: &ServerState,
    tenant: &TenantId,
    name: &JobName,
) -> Result<JobRow, Problem> {
    let jobs = state.control.job_rows(tenant).await?;
    let near = did_you_mean(name.as_str(), jobs.iter().map(|job| job.name.as_str()));
    jobs.into_iter().find(|job| job.name == *name).ok_or_else(|| {
        let message =
            format!("tenant {tenant} has no job {name}{near}; `millstream job list` shows them");
        Problem::new(ErrorCode::JobUnknown, message)
    })
}

/// The page of a job.
pub(crate) async fn job(
    State(state): State<ServerState>,
    visitor: Visitor,
    (uri, headers): (OriginalUri, HeaderMap),
    Segments(path): Segments<JobPath>,
) -> Result<Html, Problem> {
    let visit = Visit::new(&state, &visitor, (&uri, &headers))?;
    let job = job_row(&state, visit.tenant, &job_name(&path.job)?).await?;
    let filter = RunFilter { job: Some(job.name.clone()), ..RunFilter::default() };
    let runs = list(&state, visit.tenant, &filter, RUNS_OF_JOB).await?;
    let steps = match runs.first() {
        Some(newest) => state.control.run_view(visit.tenant, newest.run_id).await?.steps,
        None => Vec::new(),
    };
    let frame = visit.frame(Section::Automation, "runs definitions".to_owned()).await?;
    Ok(pages::job::job(JobPage { frame, now: state.control.now(), job, runs, steps }))
}

/// The definition files.
pub(crate) async fn definitions(
    State(state): State<ServerState>,
    visitor: Visitor,
    (uri, headers): (OriginalUri, HeaderMap),
) -> Result<Html, Problem> {
    let visit = Visit::new(&state, &visitor, (&uri, &headers))?;
    let frame = visit.frame(Section::System, "definitions".to_owned()).await?;
    let views = state.control.location_views().await.map_err(ControlError::from)?;
    let root = views.first().map(|view| view.location.root.clone()).unwrap_or_default();
    let files = views.into_iter().flat_map(|view| view.files).collect();
    let now = state.control.now();
    let silent = state.control.silent(visit.tenant).await?;
    let passed_over = state.options.passed_over().await;
    let page = DefinitionsPage { frame, now, root, files, silent, passed_over };
    Ok(pages::definitions::definitions(page))
}

/// What waits.
pub(crate) async fn queue(
    State(state): State<ServerState>,
    visitor: Visitor,
    (uri, headers): (OriginalUri, HeaderMap),
) -> Result<Html, Problem> {
    let visit = Visit::new(&state, &visitor, (&uri, &headers))?;
    let frame = visit.frame(Section::System, "runs".to_owned()).await?;
    let queue = state.control.queue_view(visit.tenant).await?;
    Ok(pages::queue::queue(QueuePage { frame, now: state.control.now(), queue }))
}

/// The daemons.
pub(crate) async fn daemons(
    State(state): State<ServerState>,
    visitor: Visitor,
    (uri, headers): (OriginalUri, HeaderMap),
) -> Result<Html, Problem> {
    let visit = Visit::new(&state, &visitor, (&uri, &headers))?;
    let frame = visit.frame(Section::System, "runs".to_owned()).await?;
    let daemons = state.control.daemons().await.map_err(ControlError::from)?;
    Ok(pages::daemons::daemons(DaemonsPage { frame, now: state.control.now(), daemons }))
}

/// The tenants.
pub(crate) async fn tenants(
    State(state): State<ServerState>,
    visitor: Visitor,
    (uri, headers): (OriginalUri, HeaderMap),
) -> Result<Html, Problem> {
    let visit = Visit::new(&state, &visitor, (&uri, &headers))?;
    let frame = visit.frame(Section::System, "definitions".to_owned()).await?;
    let rows = state.control.tenant_rows().await?.into_iter();
    let seen = rows.filter(|row| visitor.caller.role_in(&row.id).is_some());
    Ok(pages::tenants::tenants(TenantsPage { frame, tenants: seen.map(masked).collect() }))
}
