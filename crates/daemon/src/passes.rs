//! One pass of each loop: call the use case, carry out what it decided.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use millstream_control::{
    ClaimedRun, Control, ControlError, QueueLimits, QueueWatch, StoreError, TickPass, TickWatch,
};
use millstream_launch::RunLauncher;
use millstream_model::chain;

use crate::daemon::Flag;
use crate::{Daemon, Settings};

/// Why a run is handed back.
const STOPPED: &str = "the server was stopped";

/// How long the end of a server may take to hand runs back.
const HANDING_MAX: Duration = Duration::from_secs(5);

/// What one pass over the queue did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueuePass {
    /// Workers that were launched.
    pub launched: usize,
    /// Launches that failed.
    pub failed: usize,
}

/// Makes passes over the queue from when runs are to be started, if that is before the end.
pub(crate) async fn queue_once_wanted(daemon: Arc<Daemon>, mut wanted: Flag, mut stop: Flag) {
    let begins = tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => false,
        wanted = wanted.wait_for(|wanted| *wanted) => wanted.is_ok(),
    };
    if begins {
        daemon.control.begin_runs();
        daemon.queue_loop(stop).await;
    }
}

/// One pass over the queue; what it claims is launched all at once.
///
/// Crash-safe: a run that is claimed and not launched shows no sign of life, and goes back to the
/// queue as a lost one.
pub async fn queue_pass(
    control: &Control,
    launcher: &dyn RunLauncher,
    watch: &mut QueueWatch,
    settings: &Settings,
) -> Result<QueuePass, StoreError> {
    let claimed = claim(control, watch, settings, settings.limits.claims_max).await?;
    let started = claimed.iter().map(|run| launch_claimed(control, launcher, run, settings));
    let mut pass = QueuePass::default();
    for launch in join_all(started).await {
        match launch {
            Launch::Started => pass.launched += 1,
            Launch::Failed => pass.failed += 1,
        }
    }
    Ok(pass)
}

/// Claims at most `claims_max` runs.
pub(crate) async fn claim(
    control: &Control,
    watch: &mut QueueWatch,
    settings: &Settings,
    claims_max: usize,
) -> Result<Vec<ClaimedRun>, StoreError> {
    let limits = QueueLimits { claims_max, ..settings.limits };
    control.claim_runs(&settings.name, watch, limits, settings.patience.time_to_live).await
}

/// One pass over the schedules that are due.
///
/// Crash-safe: a tick is stored with its runs and the moved cursor, or it is still due.
pub async fn schedule_pass(
    control: &Control,
    watch: &mut TickWatch,
    settings: &Settings,
) -> Result<TickPass, ControlError> {
    control.tick_schedules(&settings.name, watch, settings.patience.time_to_live).await
}

/// What became of a launch.
pub(crate) enum Launch {
    Started,
    Failed,
}

/// Launches the worker of a claimed run; a failure puts the run back, or fails it for good.
pub(crate) async fn launch_claimed(
    control: &Control,
    launcher: &dyn RunLauncher,
    run: &ClaimedRun,
    settings: &Settings,
) -> Launch {
    let (tenant, run_id) = (&run.tenant, run.run);
    let error = match try_launch(control, launcher, run).await {
        Ok(()) => return Launch::Started,
        Err(error) => error,
    };
    tracing::warn!(%tenant, run = %run_id, %error, "a worker could not be launched");
    let stored = control.launch_failed(run, &error, settings.patience.launches_max).await;
    if let Err(error) = stored {
        // The run stays claimed and silent; it comes back as a lost one.
        tracing::error!(%tenant, run = %run_id, %error, "the failed launch could not be stored");
    }
    Launch::Failed
}

/// Hands the runs of a server that is told to end back to the queue, as long as the database can
/// be reached.
pub async fn hand_back(control: &Control, runs: impl IntoIterator<Item = ClaimedRun>) {
    let handing = async {
        for run in runs {
            if let Err(error) = control.hand_back(&run, STOPPED).await {
                tracing::warn!(run = %run.run, %error, "a run could not be handed back");
            }
        }
    };
    if tokio::time::timeout(HANDING_MAX, handing).await.is_err() {
        tracing::warn!("not all runs could be handed back; the others will be found lost");
    }
}

async fn try_launch(
    control: &Control,
    launcher: &dyn RunLauncher,
    run: &ClaimedRun,
) -> Result<(), String> {
    let token = control.run_token(run).await.map_err(|error| error.to_string())?;
    launcher.launch(run.clone(), token).await.map(|_| ()).map_err(|error| chain(&error))
}
