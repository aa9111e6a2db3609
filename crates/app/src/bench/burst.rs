//! P9 and P10: many runs at once, and many steps at once, from a client's triggers to what it sees.

use std::time::Instant;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::bed::{commits_of_rows, micros};
use super::database::Database;
use super::figure::{Figure, Unit};
use super::folder::Folder;
use super::idle::pss;
use super::job;
use super::quick::Size;
use super::rounds::interleave;
use super::served::{finished, launch, serve};
use super::server::Server;
use crate::client::Client;
use crate::error::AppError;

/// Requests of the client that are on their way at once.
const REQUESTS: usize = 16;

/// Rows that a run of one step writes in all: of itself and its live state, from the queue to its
/// end, of its step, and of its events; beside those of the events' batches, where they have some.
const ROWS: u32 = 17;

/// Batches of events that such a run writes.
const BATCHES: u32 = 3;

/// Batches of the limit that are on their way at once.
const IN_FLIGHT: usize = 64;

/// Runs that go on at once.
const PLACES: &str = "64";

/// Steps of the job whose steps start together.
const STEPS: u32 = 40;

/// Commits of P10's limit that are on their way at once.
const COMMITTERS: usize = 8;

/// The most memory of a thousand runs that wait, in MiB.
const MEMORY_MAX: f64 = 1.0;

/// The most memory of a server with all of them, in MiB.
const SERVER_MAX: f64 = 64.0;

/// Runs that wait before memory is measured, so that caches are as full as they get.
const BEFORE: u32 = 2_000;

/// P9: runs of one step that are triggered at once.
pub(super) async fn runs(
    folder: &Folder,
    size: &Size,
    database: Database<'_>,
) -> Result<Vec<Figure>, AppError> {
    folder.define("one.json", &job::noops(1))?;
    let (served, client) = serve(folder, (PLACES, database)).await?;
    let mut figures = Vec::new();
    let rows = ROWS + BATCHES * database.batch_rows();
    for count in size.bursts {
        let outcome = interleave(
            size.rounds.min(5),
            async || commits_of_rows(served.store(), (count, rows), IN_FLIGHT).await,
            async || {
                let start = Instant::now();
                let runs = launch_many(&client, count).await?;
                let over = stream::iter(&runs).map(|run| finished(&client, run));
                over.buffer_unordered(IN_FLIGHT).try_collect::<Vec<_>>().await?;
                Ok(micros(start.elapsed()))
            },
        );
        let what = format!(
            "{count} runs at once, trigger to all finished, {database} / {rows} rows a run in \
             group commits"
        );
        figures.push(Figure::ratio("P9", &what, outcome.await?, (3.0, None)));
    }
    served.store().forget_probes().await?;
    served.stop().await;
    Ok(figures)
}

/// P9: what runs that wait take of the server's memory, and what the whole server then has.
pub(super) async fn memory(folder: &Folder, size: &Size) -> Result<Vec<Figure>, AppError> {
    folder.define("one.json", &job::noops(1))?;
    let settings = folder.path().join("millstream.yaml");
    std::fs::write(&settings, "max_concurrent_runs: 0\n")
        .map_err(|source| AppError::Files { path: settings, source })?;
    let server = Server::start(folder.path()).await?;
    launch_many(&server.client, BEFORE).await?;
    list(&server.client).await?;
    let before = pss(server.pid()?)?;
    launch_many(&server.client, size.waiting).await?;
    list(&server.client).await?;
    let all = pss(server.pid()?)?;
    server.stop().await?;
    let each = ((all - before) / f64::from(size.waiting) * 1_000.0, Unit::Mebibytes);
    let what = format!("memory for each 1,000 of {} runs more that wait", size.waiting);
    let whole = format!("memory of a server with {} runs that wait", size.waiting + BEFORE);
    Ok(vec![
        Figure::most("P9", &what, each, MEMORY_MAX),
        Figure::most("P9", &whole, (all, Unit::Mebibytes), SERVER_MAX),
    ])
}

/// Has the server show runs that wait, which takes some of its memory too.
async fn list(client: &Client) -> Result<(), AppError> {
    for path in ["queue", "runs?limit=1000"] {
        client.get(&format!("/default/api/v1/{path}")).await?;
    }
    Ok(())
}

/// P10: one run of many steps that start together.
pub(super) async fn steps(folder: &Folder, size: &Size) -> Result<Figure, AppError> {
    let nodes: Vec<Value> =
        (0..STEPS).map(|n| json!({ "id": format!("s{n}"), "type": "noop" })).collect();
    folder.define("wide.json", &json!({ "nodes": nodes }).to_string())?;
    let (served, client) = serve(folder, (PLACES, Database::Embedded)).await?;
    let outcome = interleave(
        size.rounds,
        async || commits_of_rows(served.store(), (STEPS, 1), COMMITTERS).await,
        async || {
            let start = Instant::now();
            let run = launch(&client, "wide").await?;
            finished(&client, &run).await?;
            Ok(micros(start.elapsed()))
        },
    );
    let outcome = outcome.await?;
    served.store().forget_probes().await?;
    served.stop().await;
    let what = "40 parallel no-op steps, trigger to finished / 40 commits, 8 in flight";
    Ok(Figure::ratio("P10", what, outcome, (3.0, None)))
}

async fn launch_many(client: &Client, count: u32) -> Result<Vec<String>, AppError> {
    let launches = (0..count).map(|_| launch(client, "one"));
    stream::iter(launches).buffer_unordered(REQUESTS).try_collect().await
}
