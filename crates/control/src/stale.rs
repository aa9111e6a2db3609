//! Which assets of a list are stale, of those that are one whole: what they are made from stands in
//! the same list, so that nothing more is asked of the store.

use std::collections::BTreeMap;

use millstream_decide::why::{Made, Sources, Upstream, stale};
use millstream_model::view::AssetRow;
use millstream_model::{AssetKey, TenantId, Timestamp};
use millstream_plan::code_version;

use crate::{Control, ControlError};

impl Control {
    /// The assets of a tenant as lists show them, with whether each that is one whole is stale.
    pub async fn listed_assets(&self, tenant: &TenantId) -> Result<Vec<AssetRow>, ControlError> {
        let catalog = self.catalog().await?;
        let mut rows = self.asset_rows_in(&catalog, tenant).await?;
        let latest = |row: &AssetRow| Some((row.asset.clone(), row.latest.as_ref()?.at));
        let made: BTreeMap<AssetKey, Timestamp> = rows.iter().filter_map(latest).collect();
        for row in rows.iter_mut().filter(|row| row.partitions.is_none()) {
            let upstream = |asset: &AssetKey| {
                let made = Made::Whole(*made.get(asset)?);
                Some(Upstream { asset: asset.clone(), made })
            };
            let upstream = row.deps.iter().filter_map(upstream).collect();
            let code_version = match row.latest {
                Some(_) => catalog.step_of(tenant, &row.asset).map(code_version),
                None => None,
            };
            let sources = Sources { made: 0, upstream, code_version };
            row.is_stale = Some(!stale(row, &sources).is_empty());
        }
        Ok(rows)
    }
}
