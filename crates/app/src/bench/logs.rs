//! P14: a million lines of 300 bytes from steps into their logs.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::bed::{Bed, broken, micros};
use super::database::Database;
use super::figure::Figure;
use super::folder::Folder;
use super::quick::Size;
use super::rounds::interleave;
use crate::error::AppError;

/// The bytes of a line, its end included.
const LINE: usize = 300;

/// Steps that speak at the same time.
const STEPS: usize = 4;

/// What is made durable at once where nothing but the disk sets the pace.
const GROUP: usize = 1 << 20;

/// The file that the steps print.
const LINES: &str = "lines.txt";

pub(super) async fn measure(folder: Folder, size: &Size) -> Result<Figure, AppError> {
    let lines = size.lines / STEPS;
    let text = line().repeat(lines);
    let path = folder.path().join(LINES);
    std::fs::write(&path, &text).map_err(|source| AppError::Files { path, source })?;
    folder.define("logs.json", &job())?;
    let bed = Bed::open(folder, Database::Embedded).await?;
    let probe = bed.folder.path().join("segments");
    let outcome = interleave(
        size.rounds,
        async || append(&probe, text.as_bytes()),
        async || {
            let took = bed.run("logs").await?;
            // What is on the disk already would slow the next round down.
            let logs = bed.folder.path().join(".millstream").join("logs");
            remove(&logs)?;
            Ok(micros(took))
        },
    );
    let what = format!("{} log lines of 300 B / append and fdatasync", lines * STEPS);
    Ok(Figure::ratio("P14", &what, outcome.await?, (2.0, None)))
}

/// A line of 300 bytes that is not all the same.
fn line() -> String {
    let words = "2026-11-21T12:00:00Z INFO wrote rows of orders to the warehouse; ";
    let mut line: String = words.chars().cycle().take(LINE - 1).collect();
    line.push('\n');
    line
}

fn job() -> String {
    let print = |place: usize| {
        let config = json!({ "command": ["cat", LINES] });
        json!({ "id": format!("talk-{place}"), "type": "command", "config": config })
    };
    let nodes: Vec<Value> = (0..STEPS).map(print).collect();
    json!({ "nodes": nodes, "max_parallel": STEPS }).to_string()
}

/// Appends `text` to a file for each step, a group at a time, each durable before the next.
fn append(folder: &Path, text: &[u8]) -> Result<f64, AppError> {
    let failed = |error: std::io::Error| broken(&error);
    std::fs::create_dir_all(folder).map_err(failed)?;
    let start = Instant::now();
    for step in 0..STEPS {
        let path = folder.join(step.to_string());
        let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
        for group in text.chunks(GROUP) {
            file.write_all(group).and_then(|()| file.sync_data()).map_err(failed)?;
        }
    }
    let took = micros(start.elapsed());
    remove(folder)?;
    Ok(took)
}

fn remove(folder: &Path) -> Result<(), AppError> {
    std::fs::remove_dir_all(folder).map_err(|error| broken(&error))
}
