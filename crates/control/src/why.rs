//! Why: loads what is stored about a run, an asset or a schedule, and has `decide` say it.

use millstream_decide::why::{AssetFacts, RunFacts, Why, why_asset, why_run, why_schedule};
use millstream_model::{AssetKey, Event, RunId, TenantId};
use millstream_plan::code_version;

use crate::{Control, ControlError};

/// Events that an answer is made of; the first of a run say the most.
const EVENTS_MAX: u32 = 1_000;

impl Control {
    /// Why what `subject` names is as it is: a run's id or its last digits, an asset's key, or a
    /// schedule's name, looked for in this order.
    pub async fn why(&self, tenant: &TenantId, subject: &str) -> Result<Why, ControlError> {
        match self.find_run(std::slice::from_ref(tenant), subject).await {
            Ok(run) => return self.why_run(tenant, run.run_id).await,
            Err(ControlError::RunUnknown { .. }) => {}
            Err(error) => return Err(error),
        }
        if let Ok(key) = subject.parse::<AssetKey>()
            && let Some(facts) = self.asset_facts(tenant, &key).await?
        {
            return Ok(why_asset(&facts));
        }
        match self.schedule_view(tenant, subject).await {
            Ok(schedule) => Ok(why_schedule(&schedule)),
            Err(ControlError::ScheduleUnknown { .. }) => {
                Err(ControlError::SubjectUnknown { subject: subject.to_owned() })
            }
            Err(error) => Err(error),
        }
    }

    async fn why_run(&self, tenant: &TenantId, run: RunId) -> Result<Why, ControlError> {
        let view = self.run_view(tenant, run).await?;
        let events = self.store.run_events(tenant, run, (0, i64::MIN), EVENTS_MAX).await?;
        let events: Vec<Event> = events.into_iter().map(|row| row.event).collect();
        let dead_letter = self.store.dead_letter(tenant, run).await?;
        let (run, steps) = (view.run, view.steps);
        Ok(why_run(&RunFacts { run, steps, events, dead_letter }))
    }

    async fn asset_facts(
        &self,
        tenant: &TenantId,
        key: &AssetKey,
    ) -> Result<Option<AssetFacts>, ControlError> {
        let rows = self.asset_rows(tenant).await?;
        let Some(asset) = rows.iter().find(|row| row.asset == *key).cloned() else {
            return Ok(None);
        };
        let made = |key: &AssetKey| {
            let row = rows.iter().find(|row| row.asset == *key)?;
            row.latest.as_ref().map(|latest| latest.at)
        };
        let upstream = asset.deps.iter().map(|key| (key.clone(), made(key))).collect();
        let catalog = self.catalog().await?;
        let def = catalog
            .manifests()
            .filter(|manifest| manifest.tenants.contains_key(tenant))
            .find_map(|manifest| manifest.assets.get(key));
        let code_version = def.filter(|def| def.step.is_some()).map(code_version);
        Ok(Some(AssetFacts { asset, upstream, code_version }))
    }
}
