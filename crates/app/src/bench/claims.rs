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

use super::bed::{Bed, TIME_TO_LIVE, broken, micros};
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

/// Between two looks of a claimer that does not have the lease.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Runs that are ended at the same time.
const ENDED_AT_ONCE: usize = 64;

/// One of those who claim, with what it remembers.
struct Claimer {
    name: String,
    watch: QueueWatch,
}

/// Measures on the database at `postgres`, or on the embedded one.
pub(super) async fn measure(
    folder: Folder,
    size: &Size,
    postgres: Option<&str>,
) -> Result<Figure, AppError> {
    folder.define("one.json", &job::noops(1))?;
    let bed = Bed::open(folder, postgres).await?;
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
        (claimers, claimed) = claim(bed.control(), claimers, size.claims as usize).await?;
        each.push(micros(start.elapsed()) / f64::from(size.claims));
        end(bed.control(), &claimed).await?;
    }
    for claimer in claimers {
        bed.control().release_queue(&claimer.name).await?;
    }
    let database = if postgres.is_some() { "Postgres" } else { "SQLite" };
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

/// Has all claimers claim at once, until `count` runs are claimed.
async fn claim(
    control: &Control,
    claimers: Vec<Claimer>,
    count: usize,
) -> Result<(Vec<Claimer>, Vec<ClaimedRun>), AppError> {
    let so_far = Arc::new(AtomicUsize::new(0));
    let mut claiming = JoinSet::new();
    for mut claimer in claimers {
        let (control, so_far) = (control.clone(), Arc::clone(&so_far));
        claiming.spawn(async move {
            let (mut mine, limits) = (Vec::new(), QueueLimits::of(None));
            while so_far.load(Ordering::Relaxed) < count {
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
