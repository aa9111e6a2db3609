//! QUEUE: how fast runs that wait are claimed, with several claimers on one database.
//!
//! Claimed as daemons do it: one pass after the other under the queue's lease, each a durable batch
//! of at most as many runs as one pass looks at. Nothing is launched.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use millstream_control::{ClaimedRun, Control, QueueLimits, QueueWatch};
use tokio::task::JoinSet;

use super::bed::{Bed, TIME_TO_LIVE, broken, micros, not_claimed};
use super::database::Database;
use super::figure::{Figure, Unit};
use super::folder::Folder;
use super::job;
use super::quick::Size;
use super::rounds::median;
use crate::error::AppError;

/// Daemons that want the queue's lease, of which one has it.
const CLAIMERS: usize = 4;

/// Rounds, of which the middle one counts.
const ROUNDS: usize = 3;

/// The most that a claim may take, in microseconds: 5,000 a second.
const CLAIM_MAX: f64 = 200.0;

/// How long nobody may claim anything, while runs are to wait, before the measurement is given up.
const PATIENCE: Duration = Duration::from_mins(1);

/// Between two looks of a claimer that does not have the lease.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Runs that are ended at the same time.
const ENDED_AT_ONCE: usize = 64;

/// One of those who claim, with what it remembers.
struct Claimer {
    name: String,
    watch: QueueWatch,
}

/// Measures on `database`.
pub(super) async fn measure(
    folder: Folder,
    size: &Size,
    database: Database<'_>,
) -> Result<Figure, AppError> {
    folder.define("one.json", &job::noops(1))?;
    let bed = Bed::open(folder, database).await?;
    bed.control().release_queue("bench").await?;
    let name = |number| Claimer { name: format!("bench-{number}"), watch: QueueWatch::default() };
    let mut claimers: Vec<Claimer> = (0..CLAIMERS).map(name).collect();
    // What another measurement has left waiting, and what is prepared once.
    bed.queue("one", 1).await?;
    while !pass(bed.control(), &mut claimers).await?.is_empty() {}

    let (mut each, rounds) = (Vec::new(), size.rounds.min(ROUNDS));
    for _ in 0..rounds {
        bed.queue("one", size.claims).await?;
        let start = Instant::now();
        let claimed;
        let wanted = (size.claims as usize, PATIENCE);
        (claimers, claimed) = claim(bed.control(), claimers, wanted).await?;
        each.push(micros(start.elapsed()) / f64::from(size.claims));
        end(bed.control(), &claimed).await?;
    }
    for claimer in claimers {
        bed.control().release_queue(&claimer.name).await?;
    }
    let count = size.claims;
    let what = format!("a claim of {count} runs that wait, {CLAIMERS} claimers, {database}");
    Ok(Figure::most("QUEUE", &what, (median(each), Unit::Microseconds), CLAIM_MAX))
}

/// One pass of each claimer, and the end of what it claimed.
async fn pass(control: &Control, claimers: &mut [Claimer]) -> Result<Vec<ClaimedRun>, AppError> {
    let mut all = Vec::new();
    for Claimer { name, watch } in claimers {
        let limits = QueueLimits::of(None);
        all.extend(control.claim_runs(name, watch, limits, TIME_TO_LIVE).await?);
    }
    end(control, &all).await?;
    Ok(all)
}

/// Has all claimers claim at once, until `count` runs are claimed; gives up when nobody has claimed
/// any for as long as `patience`, because somebody else takes them.
async fn claim(
    control: &Control,
    claimers: Vec<Claimer>,
    (count, patience): (usize, Duration),
) -> Result<(Vec<Claimer>, Vec<ClaimedRun>), AppError> {
    let so_far = Arc::new(AtomicUsize::new(0));
    let mut claiming = JoinSet::new();
    for mut claimer in claimers {
        let (control, so_far) = (control.clone(), Arc::clone(&so_far));
        claiming.spawn(async move {
            let (mut mine, limits) = (Vec::new(), QueueLimits::of(None));
            let (mut seen, mut since) = (0, Instant::now());
            loop {
                let now = so_far.load(Ordering::Relaxed);
                if now >= count {
                    break;
                } else if now != seen {
                    (seen, since) = (now, Instant::now());
                } else if since.elapsed() > patience {
                    return Err(not_claimed());
                }
                let Claimer { name, watch } = &mut claimer;
                let claimed = control.claim_runs(name, watch, limits, TIME_TO_LIVE).await?;
                so_far.fetch_add(claimed.len(), Ordering::Relaxed);
                if claimed.is_empty() {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                mine.extend(claimed);
            }
            Ok::<_, AppError>((claimer, mine))
        });
    }
    let (mut claimers, mut all) = (Vec::new(), Vec::new());
    while let Some(ended) = claiming.join_next().await {
        let (claimer, mine) = ended.map_err(|error| broken(&error))??;
        claimers.push(claimer);
        all.extend(mine);
    }
    let mut runs: Vec<_> = all.iter().map(|claimed| claimed.run).collect();
    runs.sort_unstable();
    runs.dedup();
    if runs.len() == count {
        Ok((claimers, all))
    } else {
        Err(broken(&format!("{} runs were claimed instead of {count}", runs.len())))
    }
}

/// Ends runs that were claimed and have no worker: they are canceled, and then not launched.
pub(super) async fn end(control: &Control, claimed: &[ClaimedRun]) -> Result<(), AppError> {
    let ended = claimed.iter().map(async |run: &ClaimedRun| {
        control.cancel(&run.tenant, run.run, "bench").await.map_err(|error| broken(&error))?;
        let failed = control.launch_failed(run, "it was only claimed", 1).await;
        failed.map_err(|error| broken(&error))
    });
    stream::iter(ended).buffer_unordered(ENDED_AT_ONCE).try_collect::<Vec<()>>().await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_measurement_whose_runs_somebody_else_claims_is_given_up() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::below(place.path()).unwrap();
        folder.define("one.json", &job::noops(1)).unwrap();
        let bed = Bed::open(folder, Database::Embedded).await.unwrap();
        let claimer = Claimer { name: "bench-0".to_owned(), watch: QueueWatch::default() };
        let refused = claim(bed.control(), vec![claimer], (1, Duration::ZERO)).await;
        let told = refused.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(told.contains("does a daemon run on this database?"), "{told}");
    }
}
