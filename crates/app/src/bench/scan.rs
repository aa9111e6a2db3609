//! P15: a scan of files of which none has changed.

use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::sync::Mutex;

use super::bed::{Bed, broken, micros};
use super::database::Database;
use super::figure::Figure;
use super::folder::Folder;
use super::job;
use super::quick::Size;
use super::rounds::interleave;
use crate::error::AppError;

/// Files in one folder.
const IN_ONE: usize = 100;

/// Scans, or walks, in one round.
const SCANS: u32 = 5;

pub(super) async fn measure(folder: Folder, size: &Size) -> Result<Figure, AppError> {
    fill(&folder, size.files)?;
    let root = folder.path().join("dags");
    let bed = Mutex::new(Bed::open(folder, Database::Embedded).await?);
    let outcome = interleave(
        size.rounds,
        async || walks(root.clone()).await,
        async || {
            let mut bed = bed.lock().await;
            let start = Instant::now();
            for _ in 0..SCANS {
                let report = bed.scan().await?;
                if report.files != size.files || report.loaded > 0 {
                    return Err(broken(&format!("the scan saw something else: {report:?}")));
                }
            }
            Ok(micros(start.elapsed()) / f64::from(SCANS))
        },
    );
    let what = format!("scan of {} unchanged files / walk and stat", size.files);
    Ok(Figure::ratio("P15", &what, outcome.await?, (1.5, None)))
}

/// Writes `count` definition files, each with a job.
pub(super) fn fill(folder: &Folder, count: usize) -> Result<(), AppError> {
    let content = job::noops(2);
    for number in 0..count {
        folder.define(&format!("group-{}/job-{number}.json", number / IN_ONE), &content)?;
    }
    Ok(())
}

/// The mean time of a walk over `root` that asks for each file's state.
async fn walks(root: PathBuf) -> Result<f64, AppError> {
    let walking = tokio::task::spawn_blocking(move || {
        let start = Instant::now();
        for _ in 0..SCANS {
            let (files, bytes) = walk(&root)?;
            // What was seen is looked at, so that no compiler leaves the walk out.
            std::hint::black_box((files, bytes));
        }
        Ok::<_, std::io::Error>(micros(start.elapsed()) / f64::from(SCANS))
    });
    walking.await.map_err(|error| broken(&error))?.map_err(|error| broken(&error))
}

fn walk(folder: &Path) -> std::io::Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            let below = walk(&entry.path())?;
            files += below.0;
            bytes += below.1;
        } else {
            files += 1;
            bytes += metadata.len();
        }
    }
    Ok((files, bytes))
}
