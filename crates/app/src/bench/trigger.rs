//! P8 and R196: from a client's trigger to what it sees, over HTTP, on a server with nothing to do.

use std::time::{Duration, Instant};

use millstream_model::Timestamp;
use serde_json::{Value, json};

use super::bed::{broken, commits, micros};
use super::database::Database;
use super::figure::{Figure, Unit};
use super::folder::Folder;
use super::job;
use super::quick::Size;
use super::rounds::{interleave, median, quantile};
use super::served::{finished, launch, serve};
use crate::client::Client;
use crate::error::AppError;

/// The longest that one trigger in a hundred may take, in microseconds.
const P99_MAX: f64 = 10_000.0;

/// Runs that go on at once, as where nothing else is said.
const PLACES: &str = "10";

/// What a server needs to be done with a run, and with what that woke.
const QUIET: Duration = Duration::from_millis(5);

/// P8: one run of one step that does nothing.
pub(super) async fn measure(
    folder: &Folder,
    size: &Size,
    database: Database<'_>,
) -> Result<Vec<Figure>, AppError> {
    folder.define("one.json", &job::noops(1))?;
    let (served, client) = serve(folder, (PLACES, database)).await?;
    let mut all = Vec::new();
    let outcome = interleave(
        size.rounds,
        async || {
            let trip = round_trips(&client, size.triggers).await?;
            let commit = commits(served.store(), u32::try_from(size.triggers).unwrap_or(1)).await?;
            Ok(trip + 2.0 * commit + worker_trip().await?)
        },
        async || {
            let mut round = Vec::new();
            for _ in 0..size.triggers {
                // The server is idle again: what the run before has woken sleeps.
                tokio::time::sleep(QUIET).await;
                let start = Instant::now();
                let run = launch(&client, "one").await?;
                finished(&client, &run).await?;
                round.push(micros(start.elapsed()));
            }
            all.extend_from_slice(&round);
            Ok(median(round))
        },
    );
    let outcome = outcome.await?;
    served.stop().await;
    let p99 = (quantile(all, 0.99), Unit::Microseconds);
    let what = format!("trigger to finished, one no-op, {database}");
    let limit = format!("{what} / HTTP trip + 2 commits + worker trip");
    Ok(vec![
        Figure::ratio("P8", &limit, outcome, (3.0, None)),
        Figure::most("P8", &format!("{what}, p99"), p99, P99_MAX),
    ])
}

/// R196: how far apart two steps start that nothing keeps waiting, and how soon a status is seen.
pub(super) async fn roots(folder: &Folder, size: &Size) -> Result<Vec<Figure>, AppError> {
    let node =
        |id: &str| json!({ "id": id, "type": "command", "config": { "command": ["/bin/true"] } });
    folder.define("two.json", &json!({ "nodes": [node("left"), node("right")] }).to_string())?;
    let (served, client) = serve(folder, (PLACES, Database::Embedded)).await?;
    let (mut apart, mut seen) = (Vec::new(), Vec::new());
    for _ in 0..size.triggers {
        let start = Instant::now();
        let run = launch(&client, "two").await?;
        let shown = finished(&client, &run).await?;
        seen.push(micros(start.elapsed()));
        let starts: Vec<Timestamp> = shown
            .get("steps")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|step| serde_json::from_value(step.get("started_at")?.clone()).ok())
            .collect();
        let ends = (starts.iter().min(), starts.iter().max());
        let (Some(first), Some(last)) = ends else {
            return Err(broken(&format!("the run shows no starts: {shown}")));
        };
        apart.push(micros(last.since(*first)));
    }
    served.stop().await;
    let worst = |values| (quantile(values, 1.0), Unit::Microseconds);
    Ok(vec![
        Figure::most("R196", "two independent roots start within", worst(apart), 200_000.0),
        Figure::most("R196", "status of a run seen within", worst(seen), 2_000_000.0),
    ])
}

/// The mean time of a request whose answer costs nothing.
async fn round_trips(client: &Client, count: usize) -> Result<f64, AppError> {
    let mut trips = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        client.get("/health").await?;
        trips.push(micros(start.elapsed()));
    }
    Ok(median(trips))
}

/// How long it takes to give something to a task of this process and to hear of its end, which is
/// the way to a worker of the local launcher and back.
async fn worker_trip() -> Result<f64, AppError> {
    let mut trips = Vec::new();
    for _ in 0..20 {
        let start = Instant::now();
        tokio::spawn(std::future::ready(())).await.map_err(|error| broken(&error))?;
        trips.push(micros(start.elapsed()));
    }
    Ok(median(trips))
}
