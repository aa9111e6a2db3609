//! What is odd about the assets that ops report: an op may report any, so a report may be of one
//! that no file declares, or leave out which partition was made.
//!
//! Called where a worker's events are stored; what is said goes into the event itself.

use std::collections::BTreeMap;

use millstream_model::worker_api::ReportedEvent;
use millstream_model::{AssetKey, EventBody, RunPlan, TenantId, did_you_mean};
use millstream_store::StoreError;

use crate::Control;
use crate::catalog::Catalog;

impl Control {
    /// What there is to say of each report of an asset among `events`, by its `seq`.
    pub(crate) async fn remarks(
        &self,
        tenant: &TenantId,
        plan: &RunPlan,
        events: &[ReportedEvent],
    ) -> Result<BTreeMap<i64, String>, StoreError> {
        let reported: Vec<(i64, &AssetKey)> = events
            .iter()
            .filter_map(|event| match &event.body {
                EventBody::Materialized { step, asset, partition: None, .. } => {
                    let of_op = plan.step(step).is_some_and(|step| step.asset.is_none());
                    of_op.then_some((event.seq, asset))
                }
                _ => None,
            })
            .collect();
        if reported.is_empty() {
            return Ok(BTreeMap::new());
        }
        let catalog = self.catalog().await?;
        let remark = |(seq, asset): (i64, &AssetKey)| Some((seq, remark(&catalog, tenant, asset)?));
        Ok(reported.into_iter().filter_map(remark).collect())
    }
}

fn remark(catalog: &Catalog, tenant: &TenantId, asset: &AssetKey) -> Option<String> {
    match catalog.of_tenant(tenant).find_map(|manifest| manifest.assets.get(asset)) {
        None => {
            let all = catalog.of_tenant(tenant).flat_map(|manifest| manifest.assets.keys());
            let known: Vec<String> = all.map(ToString::to_string).collect();
            let near = did_you_mean(&asset.to_string(), known.iter().map(String::as_str));
            Some(format!("no asset is called so{near}"))
        }
        Some(def) if def.partitions.is_some() => Some(
            "it has partitions, and the report names none, so that none counts as made".to_owned(),
        ),
        Some(_) => None,
    }
}
