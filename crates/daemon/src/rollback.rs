//! Going back to an older version of a definition file, after a look at whether it fits the others.

use millstream_control::{Control, ControlError, Rollback, RollbackPlan};
use millstream_definition::{LocationFile, Version, check_location};
use millstream_model::{Diagnostic, RollbackOutcome};

use crate::scan::wrong_selections;

/// Makes an older version of a file live, if it fits what is live of the others.
pub async fn rollback(control: &Control, wish: Rollback) -> Result<RollbackOutcome, ControlError> {
    let plan = control.plan_rollback(wish).await?;
    let (refused, diagnostics) = check(control, &plan).await?;
    if refused {
        return Ok(RollbackOutcome::Refused { diagnostics });
    }
    control.apply_rollback(&plan).await?;
    tracing::info!("[DAG_LOADER] {} is back at v{}", plan.rollback.file, plan.version.number);
    Ok(RollbackOutcome::Live { warnings: diagnostics })
}

/// Whether the version does not fit, and what there is to say.
async fn check(
    control: &Control,
    plan: &RollbackPlan,
) -> Result<(bool, Vec<Diagnostic>), ControlError> {
    let name = plan.rollback.file.as_str();
    let others = control.live_files(&plan.location).await?;
    let mut files: Vec<LocationFile<'_>> = others
        .iter()
        .filter(|(version, _)| version.name != name)
        .map(|(version, manifest)| {
            let live = Version { hash: &version.hash, manifest, places: None };
            LocationFile { name: &version.name, newest: Some(live), live: Some(live) }
        })
        .collect();
    let wanted = Version { hash: &plan.version.hash, manifest: &plan.content, places: None };
    files.push(LocationFile { name, newest: Some(wanted), live: None });
    let checked = check_location(plan.location.clone(), &files);
    let wrong = wrong_selections(&checked.manifest, name, (&plan.content, None));
    let refused = checked.refused.contains(name) || !wrong.is_empty();
    Ok((refused, checked.diagnostics.into_iter().chain(wrong).collect()))
}
