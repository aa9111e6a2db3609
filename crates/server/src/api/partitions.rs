//! Partition keys: listing them, adding and removing dynamic ones.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use millstream_control::{ControlError, KeyFor, choices};
use millstream_model::{ErrorCode, JobName, PartitionKey, PartitionsDef, PartitionsName, TenantId};
use serde::{Deserialize, Serialize};

use crate::access::{Visitor, unknown_tenant};
use crate::body::Body;
use crate::input::{Params, Segments, partition_key, partitions_name};
use crate::problem::Problem;
use crate::state::ServerState;

/// Most keys in one answer.
const LIMIT_MAX: usize = 10_000;
/// Keys in one answer when nothing else is asked for.
const LIMIT: usize = 1_000;

/// The partitions of the path.
#[derive(Debug, Deserialize)]
pub(crate) struct PartitionsPath {
    name: String,
}

/// The definitions of partitions that the tenant has, by name.
pub(crate) async fn definitions(
    State(state): State<ServerState>,
    visitor: Visitor,
) -> Result<Json<BTreeMap<PartitionsName, PartitionsDef>>, Problem> {
    let tenant = visitor.tenant()?;
    let catalog = state.control.catalog().await.map_err(ControlError::from)?;
    let all = catalog.of_tenant(tenant).flat_map(|manifest| manifest.partitions.clone());
    Ok(Json(all.collect()))
}

/// Which keys are asked for.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct KeysQuery {
    #[serde(default)]
    after: String,
    #[serde(default)]
    text: String,
    limit: Option<usize>,
}

/// Keys in their order.
#[derive(Debug, Serialize)]
pub(crate) struct KeysAnswer {
    keys: Vec<PartitionKey>,
}

/// The keys that exist for the tenant, those after `after` that contain `text`.
pub(crate) async fn list(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<PartitionsPath>,
    Params(query): Params<KeysQuery>,
) -> Result<Json<KeysAnswer>, Problem> {
    let tenant = visitor.tenant()?;
    let name = partitions_name(&path.name)?;
    let catalog = state.control.catalog().await.map_err(ControlError::from)?;
    let ours = catalog.of_tenant(tenant);
    let known: Vec<PartitionsName> = ours.flat_map(|it| it.partitions.keys().cloned()).collect();
    if !known.contains(&name) {
        let ways = choices(name.as_str(), &known);
        let message = format!("tenant {tenant} has no partitions called `{name}`{ways}");
        return Err(Problem::new(ErrorCode::PartitionUnknown, message));
    }
    let limit = query.limit.unwrap_or(LIMIT).min(LIMIT_MAX);
    let part = (query.after.as_str(), query.text.as_str());
    let keys = state.control.partition_keys(tenant, &name, part, limit).await?;
    Ok(Json(KeysAnswer { keys }))
}

/// Keys to add or remove.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeysBody {
    keys: Vec<String>,
}

impl KeysBody {
    /// The keys, or what is wrong with the first that is none.
    fn keys(&self) -> Result<Vec<PartitionKey>, Problem> {
        self.keys.iter().map(|key| partition_key(key)).collect()
    }
}

/// Adds keys; answers with those that are new.
pub(crate) async fn add(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<PartitionsPath>,
    Body(body): Body<KeysBody>,
) -> Result<Json<KeysAnswer>, Problem> {
    let name = partitions_name(&path.name)?;
    let keys = state.control.add_partitions(visitor.tenant()?, &name, &body.keys()?).await?;
    Ok(Json(KeysAnswer { keys }))
}

/// The keys that were removed, and why others were not.
#[derive(Debug, Serialize)]
pub(crate) struct RemovedAnswer {
    keys: Vec<PartitionKey>,
    unchanged: Vec<String>,
}

/// Removes keys; answers with those that were there, and says why of the others.
pub(crate) async fn remove(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<PartitionsPath>,
    Body(body): Body<KeysBody>,
) -> Result<Json<RemovedAnswer>, Problem> {
    let name = partitions_name(&path.name)?;
    let (tenant, mut asked) = (visitor.tenant()?, body.keys()?);
    let keys = state.control.remove_partitions(tenant, &name, &asked).await?;
    let removed: BTreeSet<&PartitionKey> = keys.iter().collect();
    asked.retain(|key| !removed.contains(key));
    let unchanged = state.control.why_not_removed(tenant, &name, &asked).await?;
    Ok(Json(RemovedAnswer { keys, unchanged }))
}

/// Whose key is asked for.
#[derive(Debug, Deserialize)]
pub(crate) struct OwnerQuery {
    key: String,
    /// The definition that has the key.
    partitions: Option<PartitionsName>,
    /// The assets that the key is for.
    select: Option<String>,
    /// The job that the key is for.
    job: Option<JobName>,
}

/// The tenant that a key names; `None` where the key's definition has no tenant in it.
#[derive(Debug, Serialize)]
pub(crate) struct OwnerAnswer {
    tenant: Option<TenantId>,
}

/// The tenant that a partition key belongs to, among those that the caller sees.
pub(crate) async fn owner(
    State(state): State<ServerState>,
    visitor: Visitor,
    Params(query): Params<OwnerQuery>,
) -> Result<Json<OwnerAnswer>, Problem> {
    let sees = |tenant: &TenantId| visitor.caller.role_in(tenant).is_some();
    let asked = match (&query.partitions, &query.select, &query.job) {
        (Some(name), _, _) => KeyFor::Partitions(name),
        (None, Some(selection), _) => KeyFor::Selection(selection),
        (None, None, Some(job)) => KeyFor::Job(job),
        (None, None, None) => KeyFor::Any,
    };
    let key = partition_key(&query.key)?;
    match state.control.owner_of_partition(&key, asked, sees).await {
        Ok(tenant) => Ok(Json(OwnerAnswer { tenant })),
        Err(ControlError::TenantUnknown { tenant }) => {
            Err(unknown_tenant(&state, &visitor.caller, &tenant).await)
        }
        Err(error) => Err(error.into()),
    }
}
