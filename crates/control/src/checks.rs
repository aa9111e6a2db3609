//! The checks of assets that did not pass, as lists and pages show them: those of the runs that
//! made the assets last, found with one question however many assets there are.

use std::collections::BTreeSet;

use millstream_decide::checks::not_passed;
use millstream_model::view::AssetRow;
use millstream_model::{RunId, TenantId};

use crate::{Control, ControlError};

/// Answers of checks that are looked at for one list.
const CHECKS_MAX: u32 = 10_000;

impl Control {
    /// Says of each of `rows`, assets of a tenant, which checks of it did not pass in the run that
    /// made it last.
    pub(crate) async fn tell_checks(
        &self,
        tenant: &TenantId,
        rows: &mut [AssetRow],
    ) -> Result<(), ControlError> {
        let runs: BTreeSet<RunId> = rows.iter().filter_map(made_by).collect();
        if runs.is_empty() {
            return Ok(());
        }
        let runs: Vec<RunId> = runs.into_iter().collect();
        let answers = self.store.checks_of_runs(tenant, &runs, CHECKS_MAX).await?;
        let mut failed = not_passed(&answers);
        for row in rows {
            let checks = made_by(row).and_then(|run| failed.remove(&(run, row.asset.clone())));
            row.failed_checks = checks.unwrap_or_default();
        }
        Ok(())
    }
}

/// The run that made an asset last.
fn made_by(row: &AssetRow) -> Option<RunId> {
    row.latest.as_ref()?.made_by.run()
}
