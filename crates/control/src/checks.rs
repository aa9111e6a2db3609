//! The checks of assets that did not pass, as lists and pages show them: those of the runs that
//! made the assets last, found with one question however many assets there are.

use std::collections::BTreeSet;

use millstream_decide::checks::not_passed;
use millstream_model::view::AssetRow;
use millstream_model::{RunId, TenantId};

use crate::{Control, ControlError};

/// Answers of checks that are looked at for one list.
const CHECKS_MAX: u32 = 10_000;

/// Newest runs that are looked at for one list: all of their events are read.
const RUNS_MAX: usize = 200;

impl Control {
    /// Says of each of `rows`, assets of a tenant, which checks of it did not pass in the run that
    /// made it last, where that is among the newest of them.
    pub(crate) async fn tell_checks(
        &self,
        tenant: &TenantId,
        rows: &mut [AssetRow],
    ) -> Result<(), ControlError> {
        let runs: BTreeSet<RunId> = rows.iter().filter_map(made_by).collect();
        if runs.is_empty() {
            return Ok(());
        }
        let answers = self.store.checks_of_runs(tenant, &newest(&runs), CHECKS_MAX).await?;
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

/// The newest of `runs`, whose ids grow with time.
fn newest(runs: &BTreeSet<RunId>) -> Vec<RunId> {
    runs.iter().rev().take(RUNS_MAX).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_runs_the_newest_are_looked_at() {
        let id = |number: usize| format!("00000000-0000-7000-8000-{number:012}").parse().unwrap();
        let all: BTreeSet<RunId> = (0..=RUNS_MAX).map(id).collect();
        let newest = newest(&all);
        assert_eq!((newest.len(), newest.last()), (RUNS_MAX, Some(&id(1))));
    }
}
