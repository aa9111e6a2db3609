//! One pass of each loop: call the use case, carry out what it decided.

use millstream_control::{ClaimedRun, Control, QueueWatch, StoreError};
use millstream_launch::RunLauncher;

use crate::Settings;

/// One pass over the queue. Returns how many runs were launched.
///
/// Crash-safe: a run that is claimed and not launched shows no sign of life, and goes back to the
/// queue as a lost one.
pub async fn queue_pass(
    control: &Control,
    launcher: &dyn RunLauncher,
    watch: &mut QueueWatch,
    settings: &Settings,
) -> Result<usize, StoreError> {
    let claimed = control
        .claim_runs(&settings.name, watch, settings.limits, settings.patience.time_to_live)
        .await?;
    let mut started = 0;
    for run in claimed {
        started += usize::from(launch_claimed(control, launcher, &run).await);
    }
    Ok(started)
}

/// Launches the worker of a claimed run; a failure puts the run back. Returns whether it started.
pub async fn launch_claimed(
    control: &Control,
    launcher: &dyn RunLauncher,
    run: &ClaimedRun,
) -> bool {
    let (tenant, run_id) = (&run.tenant, run.run);
    let error = match try_launch(control, launcher, run).await {
        Ok(()) => return true,
        Err(error) => error,
    };
    tracing::warn!(%tenant, run = %run_id, %error, "a worker could not be launched");
    if let Err(error) = control.launch_failed(run, &error).await {
        // The run stays claimed and silent; it comes back as a lost one.
        tracing::error!(%tenant, run = %run_id, %error, "the failed launch could not be stored");
    }
    false
}

async fn try_launch(
    control: &Control,
    launcher: &dyn RunLauncher,
    run: &ClaimedRun,
) -> Result<(), String> {
    let token = control.run_token(run).await.map_err(|error| error.to_string())?;
    let claimed = millstream_launch::ClaimedRun {
        tenant: run.tenant.clone(),
        run: run.run,
        epoch: run.epoch,
        token,
    };
    launcher.launch(claimed).await.map(|_| ()).map_err(|error| chain(&error))
}

/// An error with its sources, as one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
