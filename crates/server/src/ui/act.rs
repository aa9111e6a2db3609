//! What the forms of pages do: the same use cases as the API's, answered with a page to go to.

use axum::extract::State;
use axum::response::Redirect;
use millstream_control::{Control, Deletions, Launched, MaterializeRequest, Rollback};
use millstream_model::view::PartitionState;
use millstream_model::{Caller, PartitionKey, RunRequest, TenantId, shell_word};
use serde::Deserialize;

use crate::access::Visitor;
use crate::api::definitions::scan_now;
use crate::api::jobs::{SwitchTo, context};
use crate::api::versions::roll_back;
use crate::input::{
    AssetPath, Fields, FilePath, JobPath, RunPath, Segments, asset_key, job_name, partition_key,
};
use crate::link;
use crate::problem::Problem;
use crate::state::ServerState;
use crate::ui::read::job_row;

/// Stops a run and shows it.
pub(crate) async fn cancel(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<RunPath>,
) -> Result<Redirect, Problem> {
    let tenant = visitor.tenant()?;
    let run = state.control.find_run(std::slice::from_ref(tenant), &path.run).await?;
    state.control.cancel(tenant, run.run_id, &visitor.caller.name).await?;
    Ok(Redirect::to(&link::run(tenant, &run.run_id)))
}

/// What the launch form sends.
#[derive(Debug, Deserialize)]
pub(crate) struct LaunchForm {
    #[serde(default)]
    context: String,
    #[serde(default)]
    partition: String,
}

/// A request of the caller's, for a run in `tenant`.
pub(crate) fn by_hand(tenant: &TenantId, caller: &Caller) -> RunRequest {
    RunRequest {
        tenant: tenant.clone(),
        cause: Control::by_hand(&caller.name),
        partition: None,
        context: serde_json::Map::new(),
        tags: std::collections::BTreeMap::new(),
    }
}

/// Launches a job and shows its run.
pub(crate) async fn launch(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<JobPath>,
    Fields(form): Fields<LaunchForm>,
) -> Result<Redirect, Problem> {
    let tenant = visitor.tenant()?;
    let mut request = by_hand(tenant, &visitor.caller);
    request.context = context(&form.context)?;
    if !form.partition.trim().is_empty() {
        request.partition = Some(partition_key(form.partition.trim())?);
    }
    let launched = state.control.launch_job(&request, &job_name(&path.job)?).await?;
    Ok(Redirect::to(&link::run(&launched.tenant, &launched.run_id)))
}

/// What the switch of a job sends.
#[derive(Debug, Deserialize)]
pub(crate) struct SwitchForm {
    pub(crate) to: SwitchTo,
}

/// Turns a job on or off, or gives the word back to its file.
pub(crate) async fn switch(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<JobPath>,
    Fields(form): Fields<SwitchForm>,
) -> Result<Redirect, Problem> {
    let tenant = visitor.tenant()?;
    let job = job_row(&state, tenant, &job_name(&path.job)?).await?;
    let which = (&job.location, &job.name);
    state.control.override_job(tenant, which, form.to.enabled(), &visitor.caller.name).await?;
    Ok(Redirect::to(&link::job(tenant, &job.name)))
}

/// The fields of an asset's form: the button, and a `partition` for each ticked cell.
#[derive(Debug, Default)]
struct BuildForm {
    select: String,
    ticked: Vec<PartitionKey>,
}

impl BuildForm {
    fn read(fields: Vec<(String, String)>) -> Result<Self, Problem> {
        let mut form = Self::default();
        for (name, value) in fields {
            match name.as_str() {
                "select" => form.select = value,
                "partition" => form.ticked.push(partition_key(&value)?),
                _ => {}
            }
        }
        Ok(form)
    }
}

/// Builds an asset, or those of its partitions that the form names, and shows the runs.
pub(crate) async fn materialize(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<AssetPath>,
    Fields(fields): Fields<Vec<(String, String)>>,
) -> Result<Redirect, Problem> {
    let tenant = visitor.tenant()?;
    let key = asset_key(&path.asset)?;
    let form = BuildForm::read(fields)?;
    let partitions = match form.select.as_str() {
        "ticked" if form.ticked.is_empty() => {
            return Err(Problem::bad_request("no cell is ticked; tick those to build, then press"));
        }
        "unbuilt" => {
            let unbuilt = [PartitionState::Missing, PartitionState::Failed];
            let rows = state.control.asset_view(tenant, &key).await?.partitions.into_iter();
            rows.filter(|row| unbuilt.contains(&row.state)).map(|row| row.partition).collect()
        }
        _ => form.ticked,
    };
    let wish = MaterializeRequest {
        select: shell_word(&key.to_string()),
        partitions,
        all_partitions: form.select == "all",
    };
    let launched = state.control.materialize(&by_hand(tenant, &visitor.caller), &wish).await?;
    Ok(Redirect::to(&after(tenant, &launched)))
}

fn after(tenant: &TenantId, launched: &[Launched]) -> String {
    match launched {
        [one] => link::run(&one.tenant, &one.run_id),
        many => format!("{}?queued={}", link::runs(tenant), many.len()),
    }
}

/// What the buttons of a file's versions send.
#[derive(Debug, Deserialize)]
pub(crate) struct RollbackForm {
    version: u32,
}

/// Goes back to a version of a definition file, and shows the file.
pub(crate) async fn rollback(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<FilePath>,
    Fields(form): Fields<RollbackForm>,
) -> Result<Redirect, Problem> {
    let tenant = visitor.tenant()?;
    let by = visitor.caller.name.clone();
    let wish = Rollback { file: path.file, number: form.version, by };
    roll_back(&state, &wish).await?;
    Ok(Redirect::to(&link::file(tenant, &wish.file)))
}

/// Looks at the definition files again.
pub(crate) async fn scan(
    State(state): State<ServerState>,
    visitor: Visitor,
) -> Result<Redirect, Problem> {
    let tenant = visitor.tenant()?;
    scan_now(&state, Deletions::Guarded).await?;
    Ok(Redirect::to(&link::definitions(tenant)))
}
