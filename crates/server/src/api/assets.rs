//! Assets: listing, showing, building.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use millstream_control::{
    AssetReport, Because, Launched, LeftOut, MaterializeRequest, NeverMade, Try, in_vain_words,
    last_try_words,
};
use millstream_model::view::{AssetRow, MaterializationRow, PartitionRow};
use millstream_model::{AssetKey, MetadataValue, PartitionKey, RunId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::access::Visitor;
use crate::body::Body;
use crate::input::{AssetPath, Segments, asset_key};
use crate::problem::Problem;
use crate::state::ServerState;
use crate::ui::act::by_hand;

/// The tenant's assets.
pub(crate) async fn list(
    State(state): State<ServerState>,
    visitor: Visitor,
) -> Result<Json<Vec<AssetRow>>, Problem> {
    Ok(Json(state.control.listed_assets(visitor.tenant()?).await?))
}

/// An asset with its history.
#[derive(Debug, Serialize)]
pub(crate) struct AssetAnswer {
    #[serde(flatten)]
    asset: AssetRow,
    feeds: Vec<AssetKey>,
    history: Vec<MaterializationRow>,
    partition_rows: Vec<PartitionRow>,
    never_made: Vec<NeverMade>,
    /// What says that it is stale.
    stale: Vec<Because>,
    /// The first runs that have yet to make it, and how each stands.
    coming: Vec<Because>,
    /// How its last try ended, in words, when it made nothing.
    last_try: Option<String>,
    /// How the last tries of partitions ended that made nothing and did not fail.
    tried_in_vain: Vec<TriedInVain>,
}

/// The last try of a partition, which made nothing and did not fail.
#[derive(Debug, Serialize)]
struct TriedInVain {
    partition: PartitionKey,
    run_id: RunId,
    at: Timestamp,
    text: String,
}

impl TriedInVain {
    fn of(tried: (PartitionKey, Try)) -> Option<Self> {
        let text = in_vain_words(&tried)?;
        let (partition, Try { run: run_id, at, .. }) = tried;
        Some(Self { partition, run_id, at, text })
    }
}

/// One asset.
pub(crate) async fn show(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<AssetPath>,
) -> Result<Json<AssetAnswer>, Problem> {
    let view = state.control.asset_view(visitor.tenant()?, &asset_key(&path.asset)?).await?;
    Ok(Json(AssetAnswer {
        asset: view.asset,
        feeds: view.feeds,
        history: view.history,
        partition_rows: view.partitions,
        never_made: view.never_made,
        stale: view.stale,
        coming: view.coming,
        last_try: last_try_words(&view.tries).map(|(_, words)| words),
        tried_in_vain: view.in_vain.into_iter().filter_map(TriedInVain::of).collect(),
    }))
}

/// What to build.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MaterializeBody {
    select: String,
    #[serde(default)]
    partitions: Vec<PartitionKey>,
    #[serde(default)]
    all: bool,
}

/// The runs that were queued.
#[derive(Debug, Serialize)]
pub(crate) struct MaterializeAnswer {
    runs: Vec<Launched>,
    /// Of every partition, those whose tenants take no part.
    left_out: Vec<LeftOut>,
}

/// Queues a run for each wanted partition of the selection.
pub(crate) async fn materialize(
    State(state): State<ServerState>,
    visitor: Visitor,
    Body(body): Body<MaterializeBody>,
) -> Result<(StatusCode, Json<MaterializeAnswer>), Problem> {
    if body.all && !body.partitions.is_empty() {
        return Err(Problem::bad_request("name either `partitions` or `all`, not both"));
    }
    let request = by_hand(visitor.tenant()?, &visitor.caller);
    let MaterializeBody { select, partitions, all: all_partitions } = body;
    let wish = MaterializeRequest { select, partitions, all_partitions };
    let runs = state.control.materialize(&request, &wish).await?;
    let mut left_out = Vec::new();
    if all_partitions {
        left_out = state.control.left_out(&request.tenant, &wish.select).await?;
        left_out.retain(|it| visitor.caller.role_in(&it.tenant).is_some());
    }
    Ok((StatusCode::CREATED, Json(MaterializeAnswer { runs, left_out })))
}

/// What is said of an asset that was made elsewhere.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ReportBody {
    partition: Option<PartitionKey>,
    metadata: BTreeMap<String, serde_json::Value>,
    data_version: Option<String>,
    code_version: Option<String>,
    idempotency_key: Option<String>,
}

/// The materialization that a report is.
#[derive(Debug, Serialize)]
pub(crate) struct ReportAnswer {
    #[serde(flatten)]
    row: MaterializationRow,
    /// Whether the report came before.
    repeated: bool,
}

/// Takes down that an asset was made elsewhere.
pub(crate) async fn report(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<AssetPath>,
    Body(body): Body<ReportBody>,
) -> Result<(StatusCode, Json<ReportAnswer>), Problem> {
    let ReportBody { partition, metadata, data_version, code_version, idempotency_key: key } = body;
    let asset = asset_key(&path.asset)?;
    let said = |(name, value)| (name, MetadataValue::infer(value));
    let metadata = metadata.into_iter().map(said).collect();
    let report = AssetReport { asset, partition, metadata, data_version, code_version, key };
    let by = visitor.caller.name.as_str();
    let reported = state.control.report_asset(visitor.tenant()?, report, by).await?;
    let status = if reported.is_known { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(ReportAnswer { row: reported.row, repeated: reported.is_known })))
}
