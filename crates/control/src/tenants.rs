//! Tenants that take no part: those that are disabled, and those that no file declares any more and
//! whose history can be read.

use std::collections::BTreeSet;

use millstream_model::TenantId;
use millstream_model::view::TenantRow;

use crate::catalog::undeclared;
use crate::{Control, ControlError};

/// Tenants with history that are listed though no file declares them.
const TENANTS_MAX: u32 = 10_000;

impl Control {
    /// Whether there are runs or materializations of a tenant.
    pub async fn has_history(&self, id: &TenantId) -> Result<bool, ControlError> {
        Ok(self.store.has_history(id).await?)
    }

    /// Every declared tenant, and those that files declared once, or the one of a root that
    /// declared none, where they have history.
    pub async fn tenant_rows(&self) -> Result<Vec<TenantRow>, ControlError> {
        let mut rows = self.catalog().await?.tenants();
        let declared: BTreeSet<TenantId> = rows.iter().map(|row| row.id.clone()).collect();
        let known = self.store.tenants_in_log(TENANTS_MAX).await?;
        rows.extend(known.into_iter().filter(|id| !declared.contains(id)).map(undeclared));
        rows.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(rows)
    }

    /// Why nothing new is started for a tenant, and what goes on, in words; `None` of one that
    /// takes part.
    pub async fn idle_words(&self, id: &TenantId) -> Result<Option<String>, ControlError> {
        let row = self.catalog().await?.tenant(id);
        if row.declared && row.tenant.enabled {
            return Ok(None);
        }
        Ok(row.idle_words(self.store.count_waiting(id).await?))
    }
}
