//! What a sensor is asked with: where it stands, its definition, and the step that answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_model::worker_api::Assignment;
use millstream_model::{
    CommandStep, ContentHash, Manifest, SensorDef, SensorQuestion, StepConfig, TenantId,
    TickSource, TickWarning, Timestamp,
};
use millstream_plan::plan_question;
use millstream_store::StoreError;
use serde_json::json;

use crate::Control;
use crate::sensors::TICK;

/// The longest cursor that a program gets as a variable; a longer one stands in its context.
const VARIABLE_MAX: usize = 100 << 10;

/// A sensor that is being asked.
#[derive(Debug, Clone)]
pub struct SensorAsking {
    /// The tenant.
    pub tenant: TenantId,
    /// Which sensor.
    pub source: TickSource,
    /// The time that the tick is known by.
    pub nominal: Timestamp,
    /// What it remembers.
    pub cursor: Option<String>,
    /// Its definition.
    pub def: Arc<SensorDef>,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) version: ContentHash,
    pub(crate) from: Timestamp,
}

impl Control {
    /// What a sensor is to be asked with; `None` when it is gone or known otherwise by now.
    pub async fn begin_sensor(
        &self,
        tenant: &TenantId,
        source: &TickSource,
    ) -> Result<Option<SensorAsking>, StoreError> {
        let catalog = self.catalog().await?;
        let Some((manifest, live)) = catalog.sensors_of(&source.location) else { return Ok(None) };
        let Some(sensor) = live.get(tenant, &source.name) else { return Ok(None) };
        let Some(memory) = self.store.sensor_memory(tenant, source).await? else {
            return Ok(None);
        };
        if memory.stored.timing != sensor.version {
            return Ok(None);
        }
        let from = memory.stored.cursor;
        Ok(Some(SensorAsking {
            tenant: tenant.clone(),
            source: source.clone(),
            nominal: self.now().max(from.after(TICK)),
            cursor: memory.cursor,
            def: Arc::clone(&sensor.def),
            manifest: Arc::clone(manifest),
            version: sensor.version.clone(),
            from,
        }))
    }

    /// The step that answers a sensor's question, as an assignment that is no run's; `None` where
    /// no step does. The inner error says why it cannot be asked.
    pub fn question_of(&self, asking: &SensorAsking) -> Option<Result<Assignment, TickWarning>> {
        let step = match &asking.def.question {
            SensorQuestion::Own { step } | SensorQuestion::Rows { step, .. } => (**step).clone(),
            SensorQuestion::PartitionSync(sync) => sync.source.clone(),
            SensorQuestion::Files(_)
            | SensorQuestion::Asset { .. }
            | SensorQuestion::RunStatus { .. }
            | SensorQuestion::Webhook(_) => return None,
        };
        let step = with_cursor(step, asking);
        let step = (step, asking.def.timeout);
        let plan = match plan_question(&asking.manifest, &asking.tenant, step) {
            Ok(plan) => plan,
            Err(error) => {
                let (code, message) = (error.code(), error.to_string());
                return Some(Err(TickWarning { partition: None, code, message }));
            }
        };
        let context = json!({
            "sensor": asking.def.name,
            "cursor": asking.cursor,
            "nominal": asking.nominal.to_string(),
        });
        Some(Ok(Assignment {
            tenant: asking.tenant.clone(),
            run: self.new_id(),
            epoch: 1,
            plan,
            context: context.as_object().cloned().unwrap_or_default(),
            queued_at: asking.nominal,
            progress: Vec::new(),
            provenance: BTreeMap::new(),
        }))
    }
}

/// The step with the cursor where its kind looks for it.
fn with_cursor(step: StepConfig, asking: &SensorAsking) -> StepConfig {
    match step {
        StepConfig::Sql(mut sql) => {
            // A template alone would make a text of a cursor that is not there.
            let cursor = asking.cursor.as_ref().map(|_| "{{ trigger.cursor }}");
            sql.params.entry("cursor".to_owned()).or_insert_with(|| json!(cursor));
            StepConfig::Sql(sql)
        }
        StepConfig::Command(CommandStep { command, mut env, cwd, pipes, sources }) => {
            let short = asking.cursor.as_ref().is_none_or(|cursor| cursor.len() < VARIABLE_MAX);
            if short {
                let cursor = || "{{ trigger.cursor or '' }}".to_owned();
                env.entry("MILLSTREAM_CURSOR".to_owned()).or_insert_with(cursor);
            }
            StepConfig::Command(CommandStep { command, env, cwd, pipes, sources })
        }
        other => other,
    }
}
