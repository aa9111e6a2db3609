//! Which assets of a list are stale, and which have a stale one above them: what they are made from
//! stands in the same list, so that nothing more is asked of the store. Of those with partitions
//! only the code is looked at; where that says nothing, and something above them was made, it is
//! not known whether each partition is newer.

use std::collections::BTreeMap;

use millstream_decide::why::{Made, Sources, Upstream, stale};
use millstream_model::view::AssetRow;
use millstream_model::{AssetKey, TenantId, Timestamp};
use millstream_plan::{below, code_version};

use crate::catalog::Catalog;
use crate::{Control, ControlError};

impl Control {
    /// The assets of a tenant as lists show them, with which of them are stale, whose last
    /// try failed and which checks did not pass.
    pub async fn listed_assets(&self, tenant: &TenantId) -> Result<Vec<AssetRow>, ControlError> {
        let catalog = self.catalog().await?;
        let mut rows = self.asset_rows_in(&catalog, tenant).await?;
        mark_stale(&catalog, tenant, &mut rows);
        self.tell_failed_tries(&catalog, tenant, &mut rows).await?;
        self.tell_checks(tenant, &mut rows).await?;
        Ok(rows)
    }
}

/// Says of each of `rows`, which are all assets of a tenant, whether it is stale, or what above it.
pub(crate) fn mark_stale(catalog: &Catalog, tenant: &TenantId, rows: &mut [AssetRow]) {
    let latest = |row: &AssetRow| Some((row.asset.clone(), row.latest.as_ref()?.at));
    let made: BTreeMap<AssetKey, Timestamp> = rows.iter().filter_map(latest).collect();
    for row in rows.iter_mut() {
        let is_whole = row.partitions.is_none();
        let upstream = |asset: &AssetKey| {
            let made = Made::Whole(*made.get(asset)?);
            Some(Upstream { asset: asset.clone(), made })
        };
        let upstream = row.deps.iter().filter(|_| is_whole).filter_map(upstream).collect();
        let code_version = match row.latest {
            Some(_) => catalog.step_of(tenant, &row.asset).map(code_version),
            None => None,
        };
        let is_stale = !stale(row, &Sources { made: 0, upstream, code_version }).is_empty();
        let may_be = !is_whole && row.is_made() && row.deps.iter().any(|it| made.contains_key(it));
        row.is_stale = Some(is_stale).filter(|_| is_stale || !may_be);
    }
    let stale = rows.iter().filter(|row| row.is_stale == Some(true)).map(|row| &row.asset);
    let all = rows.iter().map(|row| (&row.asset, row.deps.as_slice()));
    let above: BTreeMap<AssetKey, AssetKey> =
        below(all, stale).into_iter().map(|(key, it)| (key.clone(), it.top.clone())).collect();
    for row in rows.iter_mut().filter(|row| row.is_made()) {
        row.stale_upstream = above.get(&row.asset).cloned();
    }
}
