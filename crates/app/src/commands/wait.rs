//! Waiting for runs to be over, with a progress bar for people.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::answer::text;
use crate::client::Client;
use crate::error::AppError;
use crate::output;

/// The pauses between two looks: short at first, because most runs are.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);

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
    let mut over: BTreeMap<usize, Value> = BTreeMap::new();
    let mut pause = PAUSE_MIN;
    while over.len() < runs.len() {
        let before = over.len();
        for (index, awaited) in runs.iter().enumerate() {
            if over.contains_key(&index) {
                continue;
            }
            let path = format!("/{}/api/v1/runs/{}", awaited.tenant, awaited.run);
            let run = client.get(&path).await?;
            if let Some(bar) = &bar {
                bar.set_message(format!("{} {}", text(&run, "/title"), text(&run, "/status")));
            }
            if matches!(text(&run, "/status").as_str(), "SUCCESS" | "FAILURE" | "CANCELED") {
                over.insert(index, run);
                if let Some(bar) = &bar {
                    bar.inc(1);
                }
            }
        }
        if over.len() < runs.len() {
            pause = if over.len() > before { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
            tokio::time::sleep(pause).await;
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(over.into_values().collect())
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
