//! One pass of each loop: call the use case, carry out what it decided.

use std::sync::Arc;

use millstream_control::{ClaimedRun, Control, QueueWatch, StoreError};
use millstream_launch::Launcher;

use crate::Settings;

/// One pass over the queue. Returns how many runs were launched.
///
/// Crash-safe: a run that is claimed and not launched shows no sign of life, and goes back to the
/// queue as a lost one.
pub async fn queue_pass<L: Launcher>(
    control: &Control,
    launcher: &Arc<L>,
    watch: &mut QueueWatch,
    settings: &Settings,
) -> Result<usize, StoreError> {
    let claimed = control
        .claim_runs(&settings.name, watch, settings.limits, settings.patience.time_to_live)
        .await?;
    let mut launched = 0;
    for run in claimed {
        launched += usize::from(launch_claimed(control, launcher, &run).await);
    }
    Ok(launched)
}

/// Launches the worker of a claimed run; a failure puts the run back. Returns whether it started.
pub async fn launch_claimed<L: Launcher>(
    control: &Control,
    launcher: &Arc<L>,
    run: &ClaimedRun,
) -> bool {
    let (tenant, run_id) = (&run.tenant, run.run);
    let error = match launcher.launch(run.into()).await {
        Ok(()) => return true,
        Err(error) => error,
    };
    tracing::warn!(%tenant, run = %run_id, %error, "a worker could not be launched");
    if let Err(error) = control.launch_failed(run, &error.to_string()).await {
        // The run stays claimed and silent; it comes back as a lost one.
        tracing::error!(%tenant, run = %run_id, %error, "the failed launch could not be stored");
    }
    false
}
