//! `millstream job`: launch, list, start and stop.

use serde_json::{Value, json};

use super::answer::{rows, text};
use super::outcome::{print_outcome, short};
use super::tenants::{listed_tenants, note_list, one_tenant, tenant_of_key};
use super::ticking::due;
use super::wait::{Awaited, until_over};
use crate::cli::{Global, JobCommand, Named};
use crate::client::{Client, encoded};
use crate::error::AppError;
use crate::output;

pub(super) async fn run(
    client: &Client,
    global: &Global,
    command: JobCommand,
) -> Result<(), AppError> {
    match command {
        JobCommand::List => list(client, global).await,
        JobCommand::Launch { name, context, partition, tags, no_wait } => {
            let asked = ("job", name.as_str());
            let tenant = tenant_of_key(client, global, partition.as_deref(), asked).await?;
            let body = json!({
                "context": context_object(context.as_deref())?,
                "partition": partition,
                "tags": labels(&tags)?,
            });
            let path = format!("/{tenant}/api/v1/jobs/{}/launch", encoded(&name));
            let launched = client.post(&path, &body).await?;
            after_launch(client, global, &[launched], no_wait).await
        }
        JobCommand::Start(Named { name }) => switch(client, global, (&name, "on")).await,
        JobCommand::Stop(Named { name }) => switch(client, global, (&name, "off")).await,
        JobCommand::Reset(Named { name }) => switch(client, global, (&name, "file")).await,
    }
}

/// Switches a job to `on`, `off` or what its file says, and says what it then is.
async fn switch(
    client: &Client,
    global: &Global,
    (name, to): (&str, &str),
) -> Result<(), AppError> {
    let tenant = one_tenant(client, global).await?;
    let path = format!("/{tenant}/api/v1/jobs/{}/switch", encoded(name));
    let job = client.post(&path, &json!({ "to": to })).await?;
    if global.json {
        output::json(&job);
        return Ok(());
    }
    let is_on = job.get("enabled").and_then(Value::as_bool).unwrap_or(false);
    output::line(&format!("Job {name} is {}", if is_on { "on" } else { "off" }));
    if !is_on {
        output::note(
            "Nothing new is started; what was asked for before goes on, with its retries.",
        );
    }
    Ok(())
}

/// Shows what was launched, and unless told otherwise waits for it and shows how it ended.
pub(super) async fn after_launch(
    client: &Client,
    global: &Global,
    launched: &[Value],
    no_wait: bool,
) -> Result<(), AppError> {
    if no_wait {
        if global.json {
            output::json(&launched);
        } else {
            for run in launched {
                output::line(&format!(
                    "Queued run {} in tenant {}",
                    text(run, "/run_id"),
                    text(run, "/tenant")
                ));
            }
            if client.is_here() {
                output::note("No server runs: the run starts when one does (`millstream dev`).");
            }
        }
        return Ok(());
    }
    if !launched.is_empty() {
        client.begin_runs();
    }
    let awaited: Vec<Awaited> = launched
        .iter()
        .map(|run| Awaited { tenant: text(run, "/tenant"), run: text(run, "/run_id") })
        .collect();
    let over = until_done(client, global, &awaited).await?;
    let failed = over.iter().filter(|run| text(run, "/status") != "SUCCESS").count();
    if global.json {
        match over.as_slice() {
            [only] => output::json(only),
            all => output::json(&all),
        }
    } else {
        for run in &over {
            print_outcome(run);
        }
    }
    if failed > 0 { Err(AppError::Failed) } else { Ok(()) }
}

/// Waits for runs, and then for those that try them again by themselves; returns for each the run
/// that ended it, in the same order. Those that were tried again are shown as they are met.
async fn until_done(
    client: &Client,
    global: &Global,
    runs: &[Awaited],
) -> Result<Vec<Value>, AppError> {
    let mut done = until_over(client, runs).await?;
    loop {
        let again: Vec<(usize, Awaited)> =
            done.iter().enumerate().filter_map(|(place, run)| Some((place, retry(run)?))).collect();
        if again.is_empty() {
            return Ok(done);
        }
        if !global.json {
            for run in done.iter().filter(|run| retry(run).is_some()) {
                print_outcome(run);
            }
        }
        for (_, Awaited { run, .. }) in &again {
            output::note(&format!("Waiting for run {}, which tries it again.", short(run)));
        }
        let (places, awaited): (Vec<usize>, Vec<Awaited>) = again.into_iter().unzip();
        for (place, over) in places.into_iter().zip(until_over(client, &awaited).await?) {
            if let Some(done) = done.get_mut(place) {
                *done = over;
            }
        }
    }
}

/// The run that tries `run` again, if one does.
fn retry(run: &Value) -> Option<Awaited> {
    let retry = run.get("retried_as").and_then(Value::as_str)?;
    Some(Awaited { tenant: text(run, "/tenant"), run: retry.to_owned() })
}

fn context_object(text: Option<&str>) -> Result<Value, AppError> {
    let Some(text) = text else { return Ok(json!({})) };
    let usage = |message: String| AppError::Usage {
        code: millstream_model::ErrorCode::ContextJson,
        message,
    };
    match serde_json::from_str::<Value>(text) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(other) => Err(usage(format!(
            "the context is {other}; it must be an object like '{{\"input\": 1}}'"
        ))),
        Err(error) => Err(usage(format!("the context is not valid JSON: {error}"))),
    }
}

fn labels(tags: &[String]) -> Result<Value, AppError> {
    let mut labels = serde_json::Map::new();
    for tag in tags {
        let Some((key, value)) = tag.split_once('=') else {
            return Err(AppError::Usage {
                code: millstream_model::ErrorCode::BadRequest,
                message: format!("the tag {tag:?} has no `=`; write it like `team=finance`"),
            });
        };
        labels.insert(key.to_owned(), json!(value));
    }
    Ok(Value::Object(labels))
}

async fn list(client: &Client, global: &Global) -> Result<(), AppError> {
    // Jobs are the same in every tenant but for overrides; one tenant's list shows them all.
    let mut jobs: Vec<Value> = Vec::new();
    for tenant in listed_tenants(client, global).await? {
        let answer = client.get(&format!("/{tenant}/api/v1/jobs")).await?;
        for job in rows(&answer, "jobs") {
            if !jobs.iter().any(|known| known.get("name") == job.get("name")) {
                jobs.push(job.clone());
            }
        }
    }
    if global.json {
        output::json(&jobs);
        return Ok(());
    }
    let table: Vec<Vec<String>> = jobs
        .iter()
        .map(|job| {
            let enabled = job.get("enabled").and_then(Value::as_bool).unwrap_or(false);
            let by_hand = !job.get("enabled_override").is_none_or(Value::is_null);
            let state = match (enabled, by_hand) {
                (true, false) => "on",
                (false, false) => "off",
                (true, true) => "on (by hand)",
                (false, true) => "off (by hand)",
            };
            vec![
                text(job, "/name"),
                state.to_owned(),
                text(job, "/schedule"),
                due(job),
                text(job, "/file"),
                text(job, "/description"),
            ]
        })
        .collect();
    output::table(&["JOB", "STATE", "SCHEDULE", "NEXT", "FILE", "DESCRIPTION"], &table);
    note_list(client, global).await
}
