//! The page of a schedule, and what its buttons do.

use axum::extract::{OriginalUri, State};
use axum::http::HeaderMap;
use axum::response::Redirect;
use millstream_model::view::TickTest;

use crate::access::Visitor;
use crate::frame::Section;
use crate::html::Html;
use crate::input::{Fields, SchedulePath, Segments};
use crate::link;
use crate::pages::schedule::{SchedulePage, schedule};
use crate::problem::Problem;
use crate::state::ServerState;
use crate::ui::act::SwitchForm;
use crate::ui::visit::Visit;

/// Ticks on the page.
const TICKS: u32 = 50;

/// Fire times on the page.
const FIRES: usize = 10;

/// The page.
pub(crate) async fn show(
    State(state): State<ServerState>,
    visitor: Visitor,
    (uri, headers): (OriginalUri, HeaderMap),
    Segments(path): Segments<SchedulePath>,
) -> Result<Html, Problem> {
    let visit = Visit::new(&state, &visitor, (&uri, &headers))?;
    page(&visit, &state, &path.schedule, None).await
}

/// The page with what its next tick would do; nothing is requested.
pub(crate) async fn test(
    State(state): State<ServerState>,
    visitor: Visitor,
    (uri, headers): (OriginalUri, HeaderMap),
    Segments(path): Segments<SchedulePath>,
) -> Result<Html, Problem> {
    let visit = Visit::new(&state, &visitor, (&uri, &headers))?;
    let test = state.control.test_schedule(visit.tenant, &path.schedule, None).await?;
    page(&visit, &state, &path.schedule, Some(test)).await
}

async fn page(
    visit: &Visit<'_>,
    state: &ServerState,
    name: &str,
    test: Option<TickTest>,
) -> Result<Html, Problem> {
    let control = &state.control;
    let row = control.schedule_view(visit.tenant, name).await?;
    // The answer to a test is the answer to a form: nothing to fetch again when something changes.
    let topics = if test.is_some() { "" } else { "runs definitions" };
    Ok(schedule(SchedulePage {
        frame: visit.frame(Section::Automation, topics.to_owned()).await?,
        now: control.now(),
        ticks: control.schedule_ticks(visit.tenant, name, None, TICKS).await?,
        fires: control.schedule_preview(visit.tenant, name, (FIRES, None)).await?,
        schedule: row,
        test,
    }))
}

/// Starts or stops a schedule, or gives the word back to its file.
pub(crate) async fn switch(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<SchedulePath>,
    Fields(form): Fields<SwitchForm>,
) -> Result<Redirect, Problem> {
    let tenant = visitor.tenant()?;
    let word = (form.to.enabled(), visitor.caller.name.as_str());
    let row = state.control.switch_schedule(tenant, &path.schedule, word).await?;
    Ok(Redirect::to(&link::schedule(tenant, &row.name)))
}
