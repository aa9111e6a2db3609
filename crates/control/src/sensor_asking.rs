//! What a sensor is asked with: where it stands, its definition, and the step that answers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_model::seen::Question;
use millstream_model::worker_api::Assignment;
use millstream_model::{
    CommandStep, ContentHash, LocationName, Manifest, SensorDef, SensorQuestion, StepConfig,
    TenantId, TickSource, TickWarning, Timestamp,
};
use millstream_plan::plan_question;
use millstream_store::StoreError;
use millstream_store::leases::Held;
use millstream_store::sensors::SensorMemory;
use serde_json::json;

use crate::sensor_groups::{Sensor, Shared};
use crate::sensor_ticks::LEASE;
use crate::sensors::TICK;
use crate::{Catalog, Control};

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
    pub(crate) enabled: bool,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) version: ContentHash,
    pub(crate) from: Timestamp,
    pub(crate) shared: Arc<Shared>,
    /// Under which lease it is asked; none where somebody asks by hand.
    pub(crate) held: Option<Held>,
    /// Deliveries that are to be tried again later than this are left alone.
    pub(crate) tries_upto: Timestamp,
}

impl SensorAsking {
    /// As somebody asks by hand, who does not want to wait: everything that waits is tried.
    pub(crate) fn by_hand(self) -> Self {
        Self { tries_upto: Timestamp::from_micros(i64::MAX), held: None, ..self }
    }

    /// The same among the definitions of `catalog`, which may be younger than the question: a job
    /// may be off in them. Those that have another sensor in its place do not count.
    pub(crate) fn among<'a>(&'a self, catalog: &Catalog) -> Cow<'a, Self> {
        let found = catalog.sensors_of(&self.source.location).filter(|(manifest, live)| {
            let same = live.get(&self.tenant, &self.source.name);
            let is_same = same.is_some_and(|it| it.version == self.version);
            is_same && !Arc::ptr_eq(manifest, &self.manifest)
        });
        let Some((manifest, _)) = found else { return Cow::Borrowed(self) };
        Cow::Owned(Self { manifest: Arc::clone(manifest), ..self.clone() })
    }
}

impl Control {
    /// What a sensor is to be asked with; `None` when it is gone or known otherwise by now.
    pub async fn begin_sensor(
        &self,
        tenant: &TenantId,
        source: &TickSource,
    ) -> Result<Option<SensorAsking>, StoreError> {
        let catalog = self.catalog().await?;
        let memory = self.store.sensor_memory(tenant, source).await?;
        Ok(self.asked_with(&catalog, (tenant, source), memory))
    }

    /// As [`Control::begin_sensor`] for each of `sensors`, with one question for each tenant and
    /// location; what one reads of the log is there for the others.
    pub(crate) async fn begin_sensors(
        &self,
        sensors: &[Sensor],
    ) -> Result<Vec<Option<SensorAsking>>, StoreError> {
        let catalog = self.catalog().await?;
        let mut names: BTreeMap<(&TenantId, &LocationName), Vec<&str>> = BTreeMap::new();
        for (tenant, source) in sensors {
            names.entry((tenant, &source.location)).or_default().push(&source.name);
        }
        let mut memories = BTreeMap::new();
        for ((tenant, location), names) in names {
            let found = self.store.sensor_memories(tenant, location, &names).await?;
            memories.extend(found.into_iter().map(|(source, it)| ((tenant.clone(), source), it)));
        }
        let shared = Arc::<Shared>::default();
        let begun = sensors.iter().map(|sensor| {
            let memory = memories.remove(sensor);
            let asking = self.asked_with(&catalog, (&sensor.0, &sensor.1), memory)?;
            Some(SensorAsking { shared: Arc::clone(&shared), ..asking })
        });
        Ok(begun.collect())
    }

    /// What a sensor with this memory is asked with; `None` when its definition is another by now.
    fn asked_with(
        &self,
        catalog: &Catalog,
        (tenant, source): (&TenantId, &TickSource),
        memory: Option<SensorMemory>,
    ) -> Option<SensorAsking> {
        let memory = memory?;
        let (manifest, live) = catalog.sensors_of(&source.location)?;
        let sensor = live.get(tenant, &source.name)?;
        if memory.stored.timing != sensor.version {
            return None;
        }
        let from = memory.stored.cursor;
        let nominal = self.now().max(from.after(TICK));
        Some(SensorAsking {
            tenant: tenant.clone(),
            source: source.clone(),
            nominal,
            cursor: memory.cursor,
            def: Arc::clone(&sensor.def),
            enabled: memory.stored.is_on(),
            manifest: Arc::clone(manifest),
            version: sensor.version.clone(),
            from,
            shared: Arc::default(),
            held: self.leases.held(LEASE),
            tries_upto: nominal,
        })
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
        let context = json!(Question {
            sensor: &asking.def.name,
            cursor: asking.cursor.as_deref(),
            nominal: asking.nominal.to_string(),
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
