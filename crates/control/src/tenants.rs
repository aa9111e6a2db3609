//! Tenants that take no part: those that are disabled, and those that no file declares any more and
//! whose history can be read.

use millstream_model::TenantId;
use millstream_model::view::TenantRow;

use crate::catalog::undeclared;
use crate::{Control, ControlError, RunFilter};

impl Control {
    /// Whether there are runs or materializations of a tenant.
    pub async fn has_history(&self, id: &TenantId) -> Result<bool, ControlError> {
        let one = [id.clone()];
        Ok(!self.store.run_list(&one, &RunFilter::default(), 1).await?.is_empty()
            || !self.store.latest_materializations(id).await?.is_empty())
    }

    /// Every declared tenant, and the one of a root that declares none, where files declare others
    /// by now and it has history.
    pub async fn tenant_rows(&self) -> Result<Vec<TenantRow>, ControlError> {
        let mut rows = self.catalog().await?.tenants();
        let id = TenantId::default_tenant();
        if !rows.iter().any(|row| row.id == id) && self.has_history(&id).await? {
            rows.push(undeclared(id));
            rows.sort_by(|a, b| a.id.cmp(&b.id));
        }
        Ok(rows)
    }

    /// Why nothing is started for a tenant, in words; `None` of one that takes part.
    pub async fn idle_words(&self, id: &TenantId) -> Result<Option<&'static str>, ControlError> {
        Ok(self.catalog().await?.tenant(id).idle_words())
    }
}
