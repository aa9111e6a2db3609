//! P12: what a server takes that has nothing to do: memory, and a share of one core.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::bed::broken;
use super::figure::{Figure, Unit};
use super::folder::Folder;
use super::job;
use super::quick::Size;
use super::server::Server;
use crate::error::AppError;

/// The most memory, in MiB.
const MEMORY_MAX: f64 = 40.0;

/// The most of a core, in percent.
const CPU_MAX: f64 = 0.2;

/// How long a server gets to settle after its first run.
const SETTLE: Duration = Duration::from_secs(1);

pub(super) async fn measure(folder: &Folder, size: &Size) -> Result<Vec<Figure>, AppError> {
    let config = json!({ "command": ["/bin/true"] });
    folder.define("one.json", &job::chain(1, "command", &config))?;
    let server = Server::start(folder.path()).await?;
    // A run, so that the supervisor and the caches are there as they are in a server that is used.
    let launched = server.client.post("/default/api/v1/jobs/one/launch", &json!({})).await?;
    let run = launched.get("run_id").and_then(serde_json::Value::as_str).unwrap_or_default();
    super::served::finished(&server.client, run).await?;
    tokio::time::sleep(SETTLE).await;

    let processes = with_children(server.pid()?)?;
    let before = cpu(&processes)?;
    tokio::time::sleep(size.idle).await;
    let share = (cpu(&processes)? - before) / size.idle.as_secs_f64() * 100.0;
    let mut memory = 0.0;
    for pid in &processes {
        memory += pss(*pid)?;
    }
    server.stop().await?;
    Ok(vec![
        Figure::most(
            "P12",
            "idle memory (PSS), server + supervisor",
            (memory, Unit::Mebibytes),
            MEMORY_MAX,
        ),
        Figure::most("P12", "idle CPU, share of a core", (share, Unit::Percent), CPU_MAX),
    ])
}

/// A process and its children.
fn with_children(pid: u32) -> Result<Vec<u32>, AppError> {
    let mut all = vec![pid];
    for thread in threads(pid)? {
        let children = read(&thread.join("children"))?;
        all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    Ok(all)
}

/// The processor seconds that these processes have taken: by the scheduler's own count, because
/// the ticks of `stat` are 10 ms each.
fn cpu(processes: &[u32]) -> Result<f64, AppError> {
    let mut nanos = 0.0;
    for pid in processes {
        for thread in threads(*pid)? {
            // A thread that has just ended is nothing to wonder about in an idle process.
            let Ok(text) = std::fs::read_to_string(thread.join("schedstat")) else { continue };
            let ran = text.split_whitespace().next().and_then(|count| count.parse::<f64>().ok());
            nanos += ran.unwrap_or_default();
        }
    }
    Ok(nanos / 1e9)
}

/// The memory of a process in MiB; what it shares is divided among those who share it.
pub(super) fn pss(pid: u32) -> Result<f64, AppError> {
    let text = read(&PathBuf::from(format!("/proc/{pid}/smaps_rollup")))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.map(|count| count / 1024.0).ok_or_else(|| broken(&"the kernel tells no PSS"))
}

fn threads(pid: u32) -> Result<Vec<PathBuf>, AppError> {
    let path = PathBuf::from(format!("/proc/{pid}/task"));
    let entries = std::fs::read_dir(&path).map_err(|source| AppError::Files { path, source })?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

fn read(path: &Path) -> Result<String, AppError> {
    std::fs::read_to_string(path)
        .map_err(|source| AppError::Files { path: path.to_owned(), source })
}
