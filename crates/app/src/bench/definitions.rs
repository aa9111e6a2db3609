//! R199 and R200: what document 004 asks of loading: small things at once, large ones soon.

use std::time::Instant;

use millstream_model::ContentHash;

use super::bed::{Bed, micros};
use super::database::Database;
use super::figure::{Figure, Unit};
use super::folder::Folder;
use super::job;
use super::quick::Size;
use super::rounds::median;
use super::scan::fill;
use crate::error::AppError;

/// Files of the small scan.
const FILES: usize = 100;

/// How often each small thing is measured.
const TIMES: usize = 50;

/// R199: scan, validation and checksum.
pub(super) async fn small(folder: Folder) -> Result<Vec<Figure>, AppError> {
    fill(&folder, FILES)?;
    let mut bed = Bed::open(folder, Database::Embedded).await?;
    let mut scans = Vec::new();
    for _ in 0..TIMES {
        let start = Instant::now();
        bed.scan().await?;
        scans.push(micros(start.elapsed()));
    }
    // Ten nodes are what the document's own examples have.
    let content = job::noops(10).into_bytes();
    let validations = (0..TIMES).map(|_| validation(&content)).collect();
    let checksums = (0..TIMES)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(ContentHash::of(&content));
            micros(start.elapsed())
        })
        .collect();
    let figure =
        |what, values, most| Figure::most("R199", what, (median(values), Unit::Microseconds), most);
    Ok(vec![
        figure("scan of 100 files, p50 of 50", scans, 10_000.0),
        figure("validation of a job with 10 nodes, p50 of 50", validations, 1_000.0),
        figure("checksum of its file, p50 of 50", checksums, 1_000.0),
    ])
}

/// R200: thousands of files, and thousands of nodes.
pub(super) async fn large(folder: Folder, size: &Size) -> Result<Vec<Figure>, AppError> {
    let (files, nodes) = size.load;
    let mut bed = Bed::open(folder, Database::Embedded).await?;
    fill(&bed.folder, files)?;
    let start = Instant::now();
    let report = bed.scan().await?;
    let load = (micros(start.elapsed()), Unit::Microseconds);
    if report.loaded != files {
        return Err(super::bed::broken(&format!("the scan loaded something else: {report:?}")));
    }
    let content = job::noops(nodes).into_bytes();
    let validations = (0..5).map(|_| validation(&content)).collect();
    let validation = (median(validations), Unit::Microseconds);
    Ok(vec![
        Figure::most("R200", &format!("load of {files} files"), load, 5e6),
        Figure::most("R200", &format!("validation of a job with {nodes} nodes"), validation, 2e5),
    ])
}

fn validation(content: &[u8]) -> f64 {
    let start = Instant::now();
    std::hint::black_box(millstream_definition::parse_file("job.json", content));
    micros(start.elapsed())
}
