//! One pass over the runs in progress: those that are lost or too slow are taken from their
//! workers, and the workers are told to end.

use millstream_control::{Control, LostWatch, Patience, StoreError};
use millstream_launch::{RunLauncher, WorkerName};

/// One pass; returns how many workers have lost their run.
///
/// Crash-safe: the store decides who has a run. A worker that is not told to end is refused at its
/// next word, and ends then.
pub async fn lost_pass(
    control: &Control,
    launcher: &dyn RunLauncher,
    watch: &mut LostWatch,
    patience: Patience,
) -> Result<usize, StoreError> {
    let workers = control.recover_lost(watch, patience).await?;
    for worker in &workers {
        launcher.stop(&WorkerName::of(worker)).await;
    }
    Ok(workers.len())
}
