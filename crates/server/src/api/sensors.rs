//! Sensors: listing, switching, what each remembers, its ticks, trying one and having one tick.

use axum::Json;
use axum::extract::State;
use millstream_control::WaitingDelivery;
use millstream_model::view::{SensorRow, SensorStand, SensorTest};
use millstream_model::{DaemonAnswer, ErrorCode, TenantId, TickRow};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::access::Visitor;
use crate::api::definitions::wait_for_daemon;
use crate::api::jobs::SwitchBody;
use crate::api::ticks::TicksQuery;
use crate::body::Body;
use crate::input::{Params, Segments, SensorPath};
use crate::problem::Problem;
use crate::state::ServerState;

/// A sensor with what it remembers.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    #[serde(flatten)]
    row: SensorRow,
    #[serde(flatten)]
    stand: SensorStand,
}

/// The tenant's sensors.
pub(crate) async fn list(
    State(state): State<ServerState>,
    visitor: Visitor,
) -> Result<Json<Vec<SensorRow>>, Problem> {
    Ok(Json(state.control.sensor_rows(visitor.tenant()?).await?))
}

/// One sensor.
pub(crate) async fn show(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<SensorPath>,
) -> Result<Json<Shown>, Problem> {
    let tenant = visitor.tenant()?;
    let row = state.control.sensor_view(tenant, &path.sensor).await?;
    let stand = state.control.sensor_stand(tenant, &path.sensor).await?;
    Ok(Json(Shown { row, stand }))
}

/// The newest ticks of a sensor.
pub(crate) async fn ticks(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<SensorPath>,
    Params(query): Params<TicksQuery>,
) -> Result<Json<Vec<TickRow>>, Problem> {
    let limit = query.limit();
    let (tenant, name) = (visitor.tenant()?, &path.sensor);
    Ok(Json(state.control.sensor_ticks(tenant, name, query.before, limit).await?))
}

/// A test takes nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestBody {}

/// What a tick would do; a daemon asks, and nothing is requested.
pub(crate) async fn test(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<SensorPath>,
    Body(TestBody {}): Body<TestBody>,
) -> Result<Json<SensorTest>, Problem> {
    tested(&state, visitor.tenant()?, &path.sensor).await.map(Json)
}

/// What a daemon says that a tick would do.
pub(crate) async fn tested(
    state: &ServerState,
    tenant: &TenantId,
    sensor: &str,
) -> Result<SensorTest, Problem> {
    let id = state.control.ask_for_sensor_test(tenant, sensor).await?;
    answered(state, &id).await
}

/// Has a sensor tick now, and answers with the tick.
pub(crate) async fn tick(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<SensorPath>,
    Body(TestBody {}): Body<TestBody>,
) -> Result<Json<TickRow>, Problem> {
    ticked(&state, visitor.tenant()?, &path.sensor).await.map(Json)
}

/// The tick that a daemon has a sensor make now.
pub(crate) async fn ticked(
    state: &ServerState,
    tenant: &TenantId,
    sensor: &str,
) -> Result<TickRow, Problem> {
    let id = state.control.ask_for_sensor_tick(tenant, sensor).await?;
    answered(state, &id).await
}

/// What a daemon says to a wish about a sensor.
async fn answered<T: DeserializeOwned>(state: &ServerState, id: &str) -> Result<T, Problem> {
    let Some(answer) = wait_for_daemon(state, id).await? else {
        let message = "no daemon has answered yet; the sensor may still be asked";
        return Err(Problem::new(ErrorCode::SensorAsk, message));
    };
    match answer {
        DaemonAnswer::Done(done) => Ok(done),
        DaemonAnswer::Failed { error, code } => {
            Err(Problem::new(code.unwrap_or(ErrorCode::SensorAsk), error))
        }
    }
}

/// Starts or stops a sensor, or gives the word back to its file.
pub(crate) async fn switch(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<SensorPath>,
    Body(body): Body<SwitchBody>,
) -> Result<Json<SensorRow>, Problem> {
    let word = (body.to.enabled(), visitor.caller.name.as_str());
    let switched = state.control.switch_sensor(visitor.tenant()?, &path.sensor, word).await?;
    Ok(Json(switched))
}

/// What a sensor shall remember; nothing when absent.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CursorBody {
    cursor: Option<String>,
}

/// Gives a sensor another cursor.
pub(crate) async fn set_cursor(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<SensorPath>,
    Body(body): Body<CursorBody>,
) -> Result<Json<SensorStand>, Problem> {
    let (tenant, name) = (visitor.tenant()?, &path.sensor);
    state.control.set_sensor_cursor(tenant, name, body.cursor.as_deref()).await?;
    Ok(Json(state.control.sensor_stand(tenant, name).await?))
}

/// How many deliveries are asked for.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct DeliveriesQuery {
    limit: Option<u32>,
}

/// Most deliveries in one answer, and how many when nothing else is asked for.
const DELIVERIES: (u32, u32) = (1_000, 50);

/// The deliveries that wait for a sensor, in the order in which they came, and those set aside.
pub(crate) async fn deliveries(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<SensorPath>,
    Params(query): Params<DeliveriesQuery>,
) -> Result<Json<Vec<WaitingDelivery>>, Problem> {
    let (most, usual) = DELIVERIES;
    let limit = query.limit.unwrap_or(usual).min(most);
    let (tenant, name) = (visitor.tenant()?, &path.sensor);
    Ok(Json(state.control.waiting_deliveries(tenant, name, limit).await?))
}

/// Which delivery is tried anew; all that were tried in vain when absent.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResendBody {
    delivery: Option<String>,
}

/// How many deliveries are tried anew, and what a sensor remembers then.
#[derive(Debug, Serialize)]
pub(crate) struct Resent {
    resent: usize,
    #[serde(flatten)]
    stand: SensorStand,
}

/// Has deliveries tried anew that were set aside, or that wait for their next try.
pub(crate) async fn resend_deliveries(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<SensorPath>,
    Body(body): Body<ResendBody>,
) -> Result<Json<Resent>, Problem> {
    let (tenant, name) = (visitor.tenant()?, &path.sensor);
    let control = &state.control;
    let resent = control.resend_deliveries(tenant, name, body.delivery.as_deref()).await?;
    Ok(Json(Resent { resent, stand: control.sensor_stand(tenant, name).await? }))
}

/// Which delivery is dropped.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DropBody {
    delivery: String,
}

/// Drops a delivery that waits or was set aside; answers with what is left.
pub(crate) async fn drop_delivery(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<SensorPath>,
    Body(body): Body<DropBody>,
) -> Result<Json<SensorStand>, Problem> {
    let (tenant, name) = (visitor.tenant()?, &path.sensor);
    let which = (body.delivery.as_str(), visitor.caller.name.as_str());
    state.control.drop_delivery(tenant, name, which).await?;
    Ok(Json(state.control.sensor_stand(tenant, name).await?))
}
