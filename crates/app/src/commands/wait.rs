//! Waiting for runs to be over, with a progress bar for people.

use std::io::IsTerminal as _;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::answer::text;
use crate::client::Client;
use crate::error::AppError;
use crate::output;

/// How long the server may keep an answer back: less than a request may take, and than what
/// stands between the two usually allows.
const WAIT_SECS: u64 = 20;

/// Runs that are asked about at once. The others' ends are found when it is their turn.
const ASKED_MAX: usize = 16;

/// A run that is waited for.
#[derive(Debug, Clone)]
pub(super) struct Awaited {
    pub(super) tenant: String,
    pub(super) run: String,
}

/// Waits until all of `runs` are over; returns them as the API shows them, in the same order.
///
/// Ctrl-C ends the waiting. Runs that this process itself executes are canceled then, because they
/// cannot go on without it; those of a server go on.
pub(super) async fn until_over(client: &Client, runs: &[Awaited]) -> Result<Vec<Value>, AppError> {
    tokio::select! {
        over = look_until_over(client, runs) => over,
        _ = tokio::signal::ctrl_c() => {
            interrupt(client, runs).await?;
            Err(AppError::Interrupted)
        }
    }
}

async fn interrupt(client: &Client, runs: &[Awaited]) -> Result<(), AppError> {
    if !client.is_here() {
        for awaited in runs {
            let run = &awaited.run;
            output::note(&format!("Run {run} goes on; `millstream run cancel {run}` stops it."));
        }
        return Ok(());
    }
    for awaited in runs {
        let path = format!("/{}/api/v1/runs/{}/cancel", awaited.tenant, awaited.run);
        match client.post(&path, &json!({})).await {
            Ok(_) => output::note(&format!("Run {} is canceled.", awaited.run)),
            // It was over before it could be canceled.
            Err(AppError::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    look_until_over(client, runs).await.map(|_| ())
}

async fn look_until_over(client: &Client, runs: &[Awaited]) -> Result<Vec<Value>, AppError> {
    let bar = bar(runs.len());
    let waiting = runs.iter().map(|awaited| until_one_is_over(client, awaited, bar.as_ref()));
    let over = stream::iter(waiting).buffered(ASKED_MAX).try_collect().await?;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(over)
}

/// Asks the server to answer once the run is over, and again whenever it has waited long enough.
async fn until_one_is_over(
    client: &Client,
    awaited: &Awaited,
    bar: Option<&ProgressBar>,
) -> Result<Value, AppError> {
    let path = format!("/{}/api/v1/runs/{}", awaited.tenant, awaited.run);
    // The first answer comes at once, so that the bar has something to show.
    let mut wait = if bar.is_some() { 0 } else { WAIT_SECS };
    loop {
        let run = client.get(&format!("{path}?wait={wait}")).await?;
        wait = WAIT_SECS;
        let status = text(&run, "/status");
        if let Some(bar) = bar {
            bar.set_message(format!("{} {status}", text(&run, "/title")));
        }
        if matches!(status.as_str(), "SUCCESS" | "FAILURE" | "CANCELED") {
            if let Some(bar) = bar {
                bar.inc(1);
            }
            return Ok(run);
        }
    }
}

fn bar(length: usize) -> Option<ProgressBar> {
    if !std::io::stderr().is_terminal() {
        return None;
    }
    let bar = ProgressBar::new(u64::try_from(length).unwrap_or(u64::MAX));
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} runs · {elapsed} · {msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    Some(bar)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::extract::{Query, State};
    use axum::routing::get;
    use axum::{Json, Router};

    use super::*;

    type Seen = Arc<AtomicUsize>;

    /// A run that goes on until somebody has asked for its end.
    async fn run(
        State(asked): State<Seen>,
        Query(query): Query<BTreeMap<String, u64>>,
    ) -> Json<Value> {
        asked.fetch_add(1, Ordering::SeqCst);
        if query.get("wait").is_none_or(|seconds| *seconds == 0) {
            return Json(json!({ "status": "STARTED" }));
        }
        Json(json!({ "status": "SUCCESS" }))
    }

    #[tokio::test]
    async fn the_server_says_when_a_run_is_over_and_is_asked_once() {
        let seen = Seen::default();
        let router = Router::new().route("/t/api/v1/runs/{run}", get(run)).with_state(seen.clone());
        let client = Client::of(router).await;

        let one = |run: &str| Awaited { tenant: "t".to_owned(), run: run.to_owned() };
        let runs: Vec<Awaited> = ["1", "2", "3"].map(one).into();
        let over = until_over(&client, &runs).await.unwrap();
        assert_eq!(over.len(), 3);
        assert_eq!(seen.load(Ordering::SeqCst), 3);
    }
}
