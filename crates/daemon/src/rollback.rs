//! Going back to an older version of a definition file, after a look at whether it fits the others.

use std::collections::BTreeSet;

use millstream_blob::{BlobError, Blobs};
use millstream_control::{Control, ControlError, Rollback, RollbackPlan, StoreError};
use millstream_definition::{LocationFile, Version, check_location};
use millstream_model::{ContentHash, Diagnostic, ErrorCode, RollbackOutcome, SourceSet};

use crate::together::wrong_selections;

/// Why a file cannot go back to a version.
#[derive(Debug, thiserror::Error)]
pub enum RollbackError {
    /// There is no such version, or the store failed.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// What its steps run was removed.
    #[error(
        "the sources of v{number} of {file} were removed, because it was replaced long ago; write \
         it anew, or go back to a newer version"
    )]
    SourcesGone {
        /// The file.
        file: String,
        /// The version's number.
        number: u32,
    },
    /// The place of sources refused.
    #[error(transparent)]
    Blobs(#[from] BlobError),
}

impl RollbackError {
    /// The code that says which it is.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Control(error) => error.code(),
            Self::SourcesGone { .. } => ErrorCode::DefinitionSourcesGone,
            Self::Blobs(_) => ErrorCode::Internal,
        }
    }
}

impl From<StoreError> for RollbackError {
    fn from(error: StoreError) -> Self {
        Self::Control(error.into())
    }
}

/// Makes an older version of a file live, if it fits what is live of the others and `blobs` has the
/// sources of its steps still.
pub async fn rollback(
    control: &Control,
    blobs: &Blobs,
    wish: Rollback,
) -> Result<RollbackOutcome, RollbackError> {
    let mut plan = control.plan_rollback(wish).await?;
    let programs = plan.content.programs();
    let lists = programs.iter().filter_map(|(_, program)| program.code().cloned());
    for list in lists.collect::<BTreeSet<_>>() {
        if !renew(blobs, list).await? {
            let number = plan.version.number;
            return Err(RollbackError::SourcesGone { file: plan.rollback.file, number });
        }
    }
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
            LocationFile { name: &version.name, newest: Some(live), draft: None, live: Some(live) }
        })
        .collect();
    let wanted = Version { hash: &plan.version.hash, manifest: &plan.content, places: None };
    files.push(LocationFile { name, newest: Some(wanted), draft: None, live: None });
    let checked = check_location(plan.location.clone(), &files);
    let wrong = wrong_selections(&checked.manifest, name, (&plan.content, None));
    let refused = checked.refused.contains(name) || !wrong.is_empty();
    let waiting = checked.waiting.into_iter().map(|it| it.diagnostic);
    Ok((refused, checked.diagnostics.into_iter().chain(waiting).chain(wrong).collect()))
}

/// Renews a list of sources with all that it names, so that none of it is removed until its version
/// is live; false when something of it is gone.
async fn renew(blobs: &Blobs, list: ContentHash) -> Result<bool, BlobError> {
    if !blobs.renew_sources(vec![list.clone()]).await? {
        return Ok(false);
    }
    let Some(content) = blobs.read_source(&list).await? else { return Ok(false) };
    let Ok(set) = serde_json::from_slice::<SourceSet>(&content) else { return Ok(false) };
    blobs.renew_sources(set.files.into_values().map(|file| file.content).collect()).await
}
