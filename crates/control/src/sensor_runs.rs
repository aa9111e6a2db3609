//! The runs that a sensor's tick requests: their plans, and what keeps one from having any.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_decide::sensor::{Draft, DraftRequest};
use millstream_model::{Cause, ErrorCode, PartitionKey, PartitionsDef, RunRequest, ScheduleTarget};
use millstream_plan::selection::select;
use millstream_plan::{PartitionChoice, plan_assets, plan_job};
use millstream_store::StoreError;
use serde_json::{Map, Value};

use crate::Control;
use crate::launch::{Planned, numbers_in};
use crate::sensor_asking::SensorAsking;
use crate::sensor_replies::Outcome;

/// The label of a run, and of all that try it again, that names the sensor which requested it.
pub(crate) const SENSOR_TAG: &str = "dagster/sensor_name";

impl Control {
    /// The plans of what is requested; what cannot be planned becomes a warning.
    pub(crate) async fn planned_for(
        &self,
        asking: &SensorAsking,
        outcome: &Outcome,
        draft: &mut Draft,
    ) -> Result<Vec<(DraftRequest, Arc<Planned>)>, StoreError> {
        let requests = std::mem::take(&mut draft.requests);
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let existing = self.existing_keys(asking, outcome, &requests).await?;
        let mut plans: BTreeMap<(ScheduleTarget, Option<PartitionKey>), Arc<Planned>> =
            BTreeMap::new();
        let mut runs = Vec::with_capacity(requests.len());
        for request in requests {
            if let Err(error) = numbers_in(&request.tags) {
                let problem = (error.code(), error.to_string());
                draft.fail(request.delivery.as_deref(), request.partition, problem);
                continue;
            }
            let key = (request.target.clone(), request.partition.clone());
            let shared = || {
                let whole = request.partition.is_none();
                whole.then(|| asking.shared.plan(asking, &request.target)).flatten()
            };
            if let Some(planned) = plans.get(&key).cloned().or_else(shared) {
                runs.push((request, planned));
                continue;
            }
            let choice = request.partition.as_ref().map(|key| {
                let mut choice = PartitionChoice::new(key.clone(), self.now());
                let asked =
                    asking.manifest.partitions.values().flat_map(|def| def.dynamic_keys(key));
                choice.added.extend(asked.filter(|key| existing.contains(key)));
                choice
            });
            let plan = match &request.target {
                ScheduleTarget::Job(job) => {
                    plan_job(&asking.manifest, &asking.tenant, job, choice.as_ref())
                }
                ScheduleTarget::Select(text) => select(&asking.manifest, text).and_then(|assets| {
                    plan_assets(&asking.manifest, &asking.tenant, &assets, choice.as_ref())
                }),
            };
            match plan {
                // A partition of another tenant is that tenant's to ask for.
                Ok(plan) if plan.tenant != asking.tenant => {
                    let message = format!("the partition belongs to tenant {}", plan.tenant);
                    let problem = (ErrorCode::PartitionUnknown, message);
                    draft.fail(request.delivery.as_deref(), request.partition, problem);
                }
                Ok(plan) => {
                    let planned = Arc::new(Planned::new(plan)?);
                    if request.partition.is_none() {
                        asking.shared.keep_plan(asking, &request.target, &planned);
                    }
                    plans.insert(key, Arc::clone(&planned));
                    runs.push((request, planned));
                }
                Err(error) => {
                    let problem = (error.code(), error.to_string());
                    draft.fail(request.delivery.as_deref(), request.partition, problem);
                }
            }
        }
        Ok(runs)
    }

    /// The dynamic keys among the requests' partitions that exist, or will once the tick is stored.
    async fn existing_keys(
        &self,
        asking: &SensorAsking,
        outcome: &Outcome,
        requests: &[DraftRequest],
    ) -> Result<BTreeSet<PartitionKey>, StoreError> {
        let mut existing = BTreeSet::new();
        let wanted: BTreeSet<&PartitionKey> =
            requests.iter().filter_map(|request| request.partition.as_ref()).collect();
        if wanted.is_empty() {
            return Ok(existing);
        }
        for (name, def) in &asking.manifest.partitions {
            let asked: BTreeSet<PartitionKey> =
                wanted.iter().flat_map(|key| def.dynamic_keys(key)).collect();
            if asked.is_empty() {
                continue;
            }
            let asked: Vec<PartitionKey> = asked.into_iter().collect();
            let known = self.store.dynamic_partitions_known(&asking.tenant, name, &asked).await?;
            existing.extend(known);
            if let (PartitionsDef::Dynamic(_), Some(change)) = (def, outcome.partitions.get(name)) {
                existing.extend(change.add.iter().cloned());
                existing.retain(|key| !change.remove.contains(key));
            }
        }
        Ok(existing)
    }
}

/// The run that `request` asks for.
pub(crate) fn run_request(asking: &SensorAsking, request: &DraftRequest) -> RunRequest {
    let name = asking.def.name.to_string();
    let mut tags = request.tags.clone();
    tags.insert(SENSOR_TAG.to_owned(), name.clone());
    tags.insert("tenant".to_owned(), asking.tenant.to_string());
    let mut context: Map<String, Value> = request.context.clone();
    if let Some(run) = request.of {
        context.entry("triggered_by").or_insert_with(|| run.to_string().into());
    }
    RunRequest {
        tenant: asking.tenant.clone(),
        cause: Cause::Sensor { name, nominal: asking.nominal, of: request.of },
        partition: request.partition.clone(),
        context,
        tags,
    }
}
