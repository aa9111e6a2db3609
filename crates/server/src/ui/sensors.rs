//! The page of a sensor, and what its buttons do.

use axum::extract::{OriginalUri, State};
use axum::http::HeaderMap;
use axum::response::Redirect;
use millstream_model::view::SensorTest;

use crate::access::Visitor;
use crate::api::sensors::{tested, ticked};
use crate::frame::Section;
use crate::html::Html;
use crate::input::{Fields, Segments, SensorPath};
use crate::link;
use crate::pages::sensor::{SensorPage, WEBHOOK, sensor};
use crate::problem::Problem;
use crate::state::ServerState;
use crate::ui::act::SwitchForm;
use crate::ui::visit::Visit;

/// Ticks on the page.
const TICKS: u32 = 50;

/// Deliveries on the page.
const DELIVERIES: u32 = 20;

/// The page.
pub(crate) async fn show(
    State(state): State<ServerState>,
    visitor: Visitor,
    (uri, headers): (OriginalUri, HeaderMap),
    Segments(path): Segments<SensorPath>,
) -> Result<Html, Problem> {
    let visit = Visit::new(&state, &visitor, (&uri, &headers))?;
    page(&visit, &state, &path.sensor, None).await
}

/// The page with what a tick would do; nothing is requested.
pub(crate) async fn test(
    State(state): State<ServerState>,
    visitor: Visitor,
    (uri, headers): (OriginalUri, HeaderMap),
    Segments(path): Segments<SensorPath>,
) -> Result<Html, Problem> {
    let visit = Visit::new(&state, &visitor, (&uri, &headers))?;
    let test = tested(&state, visit.tenant, &path.sensor).await?;
    page(&visit, &state, &path.sensor, Some(test)).await
}

/// Has it tick now, and goes back to its page, which lists the tick.
pub(crate) async fn tick(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<SensorPath>,
) -> Result<Redirect, Problem> {
    let tenant = visitor.tenant()?;
    ticked(&state, tenant, &path.sensor).await?;
    let row = state.control.sensor_view(tenant, &path.sensor).await?;
    Ok(Redirect::to(&link::sensor(tenant, &row.name)))
}

async fn page(
    visit: &Visit<'_>,
    state: &ServerState,
    name: &str,
    test: Option<SensorTest>,
) -> Result<Html, Problem> {
    let control = &state.control;
    let row = control.sensor_view(visit.tenant, name).await?;
    let deliveries = if row.kind == WEBHOOK {
        control.waiting_deliveries(visit.tenant, name, DELIVERIES).await?
    } else {
        Vec::new()
    };
    // The answer to a test is the answer to a form: nothing to fetch again when something changes.
    let topics = if test.is_some() { "" } else { "runs definitions" };
    Ok(sensor(SensorPage {
        frame: visit.frame(Section::Automation, topics.to_owned()).await?,
        now: control.now(),
        ticks: control.sensor_ticks(visit.tenant, name, None, TICKS).await?,
        stand: control.sensor_stand(visit.tenant, name).await?,
        deliveries,
        sensor: row,
        test,
    }))
}

/// Starts or stops a sensor, or gives the word back to its file.
pub(crate) async fn switch(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<SensorPath>,
    Fields(form): Fields<SwitchForm>,
) -> Result<Redirect, Problem> {
    let tenant = visitor.tenant()?;
    let word = (form.to.enabled(), visitor.caller.name.as_str());
    let row = state.control.switch_sensor(tenant, &path.sensor, word).await?;
    Ok(Redirect::to(&link::sensor(tenant, &row.name)))
}
