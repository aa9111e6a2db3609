//! `millstream run`: list, show, logs, retry and cancel.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_model::view::StepRow;
use millstream_model::{Clock as _, ErrorCode, Event, EventBody, Timestamp, nearest, shell_word};
use millstream_server::event_words::{EventWords, event_words};
use millstream_server::format;
use serde_json::{Value, json};

use super::answer::{rows, text};
use super::dead_letter::retry_run;
use super::outcome::{print_outcome, short, why};
use super::tenants::{listed_tenants, searched_tenants};
use crate::cli::{Global, RunCommand};
use crate::client::{Client, Method, encoded};
use crate::clock::SystemClock;
use crate::error::AppError;
use crate::output;

/// Between two looks at a log that is followed.
const FOLLOW_PAUSE: Duration = Duration::from_millis(200);

pub(super) async fn run(
    client: &Client,
    global: &Global,
    command: RunCommand,
) -> Result<(), AppError> {
    match command {
        RunCommand::List { status, job, tag, limit } => {
            let status = status.map(|status| status.as_str().to_owned());
            let wanted = [("status", status), ("job", job), ("tag", tag)];
            list(client, global, &wanted, limit).await
        }
        RunCommand::Show { run } => show(client, global, &run).await,
        RunCommand::Logs { run, step, follow, tail } => {
            let wanted = Wanted { step: step.as_deref(), follow, tail };
            logs(client, global, &run, wanted).await
        }
        RunCommand::Retry(retry) => retry_run(client, global, &retry).await,
        RunCommand::Cancel { run } => {
            let (tenant, found) = find(client, global, &run).await?;
            let path = format!("/{tenant}/api/v1/runs/{}/cancel", text(&found, "/run_id"));
            let answer = client.post(&path, &json!({})).await?;
            if global.json {
                output::json(&answer);
            } else {
                output::line(&format!("Run {run} is {}", text(&answer, "/status")));
            }
            Ok(())
        }
    }
}

/// The run that a person means, looked for in every tenant that the command is about.
pub(super) async fn find(
    client: &Client,
    global: &Global,
    run: &str,
) -> Result<(String, Value), AppError> {
    let mut refusal = None;
    for tenant in searched_tenants(client, global).await? {
        match client.get(&format!("/{tenant}/api/v1/runs/{}", encoded(run))).await {
            Ok(found) => return Ok((tenant, found)),
            Err(error) if error.is_unknown() => refusal = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(refusal.unwrap_or(AppError::Unknown {
        code: ErrorCode::RunUnknown,
        message: format!("there is no run {run}; `millstream run list` shows them"),
    }))
}

/// Refuses the name of a job that no tenant has; one of which there is no run yet is none such.
async fn check_job(client: &Client, global: &Global, job: &str) -> Result<(), AppError> {
    let mut known = Vec::new();
    for tenant in listed_tenants(client, global).await? {
        let jobs = client.get(&format!("/{tenant}/api/v1/jobs")).await?;
        known.extend(jobs.as_array().into_iter().flatten().map(|row| text(row, "/name")));
    }
    if known.iter().any(|name| name == job) {
        return Ok(());
    }
    let near = nearest(job, known.iter().map(String::as_str));
    let near = near.map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default();
    Err(AppError::Unknown {
        code: ErrorCode::JobUnknown,
        message: format!("no job is called `{job}`{near}, and there is no run of one"),
    })
}

async fn list(
    client: &Client,
    global: &Global,
    wanted: &[(&str, Option<String>)],
    limit: u32,
) -> Result<(), AppError> {
    let mut query = format!("?limit={limit}");
    for (name, value) in wanted {
        if let Some(value) = value {
            query = format!("{query}&{name}={}", encoded(value));
        }
    }
    let mut runs: Vec<Value> = Vec::new();
    for tenant in searched_tenants(client, global).await? {
        let answer = client.get(&format!("/{tenant}/api/v1/runs{query}")).await?;
        runs.extend(rows(&answer, "runs").iter().cloned());
    }
    let job = wanted.iter().find(|(name, _)| *name == "job").and_then(|(_, job)| job.as_deref());
    let is_alone = wanted.iter().filter(|(_, value)| value.is_some()).count() == 1;
    if let Some(job) = job.filter(|_| runs.is_empty() && is_alone) {
        check_job(client, global, job).await?;
    }
    // Ids begin with the time, so this is newest first.
    runs.sort_by_key(|run| std::cmp::Reverse(text(run, "/run_id")));
    runs.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    if global.json {
        output::json(&runs);
        return Ok(());
    }
    let now = SystemClock::start().now();
    let table: Vec<Vec<String>> = runs
        .iter()
        .map(|run| {
            vec![
                text(run, "/status"),
                short(&text(run, "/run_id")),
                text(run, "/tenant"),
                text(run, "/title"),
                text(run, "/partition"),
                steps(run),
                took(run, now),
                text(run, "/queued_at"),
                why(run),
            ]
        })
        .collect();
    let heads =
        ["STATUS", "RUN", "TENANT", "WHAT", "PARTITION", "STEPS", "DURATION", "QUEUED", "WHY"];
    output::table(&heads, &table);
    Ok(())
}

/// How many of a run's steps are done, and how many failed: those that never ran are neither. Long
/// lists do not count them to their end.
fn steps(run: &Value) -> String {
    let count = |status: &str| run.pointer(&format!("/step_counts/{status}"))?.as_u64();
    let [done, skipped, failed] =
        ["SUCCESS", "SKIPPED", "FAILURE"].map(|status| count(status).unwrap_or(0));
    let total = text(run, "/steps_total");
    if run.get("step_counts").is_none_or(Value::is_null) {
        return format!("–/{total}");
    }
    let of_all = format!("{}/{total}", done + skipped);
    if failed > 0 { format!("{of_all}, {failed} failed") } else { of_all }
}

/// How long a run took, or has been going on; `–` before it starts, and while it waits to be
/// started again.
fn took(run: &Value, now: Timestamp) -> String {
    if matches!(text(run, "/status").as_str(), "QUEUED" | "STARTING") {
        return "–".to_owned();
    }
    let at = |name: &str| {
        serde_json::from_value::<Timestamp>(run.get(name).cloned().unwrap_or_default()).ok()
    };
    let since = |start: Timestamp| at("ended_at").unwrap_or(now).since(start);
    at("started_at").map_or_else(|| "–".to_owned(), |start| format::took(since(start)))
}

async fn show(client: &Client, global: &Global, run: &str) -> Result<(), AppError> {
    let (tenant, found) = find(client, global, run).await?;
    let id = text(&found, "/run_id");
    let events = client.get(&format!("/{tenant}/api/v1/runs/{id}/events")).await?;
    if global.json {
        let mut all = found;
        if let Value::Object(object) = &mut all {
            object.insert("events".to_owned(), json!(rows(&events, "events")));
        }
        output::json(&all);
        return Ok(());
    }
    print_outcome(&found);
    output::line("");
    for event in rows(&events, "events") {
        output::line(&event_line(event));
    }
    Ok(())
}

/// An event in one line: when, what kind of, of which step, and what it says.
fn event_line(row: &Value) -> String {
    let step = text(row, "/data/step");
    let step = if step == "–" { String::new() } else { format!("  {step}") };
    let head = format!("{}  {}{step}", text(row, "/at"), text(row, "/kind"));
    // A newer server may have kinds that are not known here.
    let Ok(event) = serde_json::from_value::<Event>(row.clone()) else { return head };
    let EventWords { text, data } = event_words(&event.body, event.at);
    let data = data.split_whitespace().collect::<Vec<_>>().join(" ");
    let data = match &event.body {
        _ if data.is_empty() => data,
        EventBody::StepSucceeded { .. } => format!("  → {data}"),
        _ => format!(": {data}"),
    };
    format!("{head}  {text}{data}")
}

/// Which output is to be printed.
struct Wanted<'a> {
    step: Option<&'a str>,
    follow: bool,
    tail: Option<u64>,
}

async fn logs(
    client: &Client,
    global: &Global,
    run: &str,
    wanted: Wanted<'_>,
) -> Result<(), AppError> {
    let Wanted { step: only, follow, tail } = wanted;
    let (tenant, mut view) = find(client, global, run).await?;
    let id = text(&view, "/run_id");
    if let Some(only) = only
        && !rows(&view, "steps").iter().any(|step| text(step, "/step") == only)
    {
        let steps: Vec<String> =
            rows(&view, "steps").iter().map(|step| text(step, "/step")).collect();
        return Err(AppError::Unknown {
            code: ErrorCode::NotFound,
            message: format!("the run has no step {only}; its steps are {}", steps.join(", ")),
        });
    }
    let mut reader = LogReader {
        client,
        base: format!("/{tenant}/api/v1/runs/{id}"),
        read: BTreeMap::new(),
        tail,
        shown: None,
        has_printed: false,
        as_json: global.json,
    };
    note_kept(&view, wanted.step);
    loop {
        let over = matches!(text(&view, "/status").as_str(), "SUCCESS" | "FAILURE" | "CANCELED");
        for step in rows(&view, "steps") {
            let name = text(step, "/step");
            if only.is_some_and(|only| only != name) {
                continue;
            }
            let attempts = step.get("attempt").and_then(Value::as_u64).unwrap_or(0);
            for attempt in 1..=attempts {
                for stream in ["out", "err"] {
                    reader.print_news(&name, attempt, stream).await?;
                }
            }
        }
        if over || !follow {
            if !reader.has_printed {
                note_silent(&view, only);
            }
            return Ok(());
        }
        tokio::time::sleep(FOLLOW_PAUSE).await;
        view = client.get(&format!("/{tenant}/api/v1/runs/{id}")).await?;
    }
}

/// Says of each wanted step that an earlier run has done in which its output is.
fn note_kept(view: &Value, only: Option<&str>) {
    for step in rows(view, "steps") {
        let name = text(step, "/step");
        let row = serde_json::from_value::<StepRow>(step.clone()).ok();
        let Some(run) = row.as_ref().and_then(StepRow::done_in) else { continue };
        if only.is_none_or(|only| only == name) {
            let word = shell_word(&name);
            output::note(&format!(
                "{name} was done in run {run}: `millstream run logs {run} --step {word}` prints \
                 what it has written."
            ));
        }
    }
}

/// Says that nothing was printed because nothing has been written, unless an earlier run did it.
fn note_silent(view: &Value, only: Option<&str>) {
    let is_kept = |step: &Value| {
        let row = serde_json::from_value::<StepRow>(step.clone()).ok();
        let is_wanted = only.is_none_or(|only| only == text(step, "/step"));
        is_wanted && row.as_ref().and_then(StepRow::done_in).is_some()
    };
    if !rows(view, "steps").iter().any(is_kept) {
        match only {
            Some(step) => output::note(&format!("{step} has written nothing.")),
            None => output::note("No step of the run has written anything."),
        }
    }
}

/// `bytes` without a character at their end of which more is to come; all of them where there is
/// nothing else.
fn whole_characters(bytes: &[u8]) -> &[u8] {
    let end = match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    };
    bytes.get(..end).filter(|whole| !whole.is_empty()).unwrap_or(bytes)
}

/// Prints the logs of a run piece by piece, each piece under the name of its log.
struct LogReader<'a> {
    client: &'a Client,
    base: String,
    /// How much of each log has been printed.
    read: BTreeMap<String, u64>,
    /// How many bytes before the end of each log it begins; at its start when absent.
    tail: Option<u64>,
    /// The log whose name was printed last, and whether what followed ended its line.
    shown: Option<(String, bool)>,
    /// Whether anything has been printed at all.
    has_printed: bool,
    /// Whether each piece is a line of JSON.
    as_json: bool,
}

impl LogReader<'_> {
    /// Prints what a log has gained since the last time.
    async fn print_news(&mut self, step: &str, attempt: u64, stream: &str) -> Result<(), AppError> {
        let name = format!("{step}.{attempt}.{stream}");
        let path = format!("{}/logs/{}/{attempt}/{stream}", self.base, encoded(step));
        if let (Some(tail), None) = (self.tail, self.read.get(&name)) {
            // From beyond its end on there is nothing to read but its size.
            let size = self.client.log_size(&format!("{path}?offset={}", i64::MAX)).await?;
            self.read.insert(name.clone(), size.saturating_sub(tail));
        }
        loop {
            let offset = self.read.get(&name).copied().unwrap_or(0);
            let path = format!("{path}?offset={offset}");
            let (status, bytes) = self.client.bytes(Method::Get, &path, None).await?;
            if status != 200 || bytes.is_empty() {
                return Ok(());
            }
            self.has_printed = true;
            let length = if self.as_json {
                let text = whole_characters(&bytes);
                let length = text.len();
                output::json_line(&json!({
                    "step": step,
                    "attempt": attempt,
                    "stream": stream,
                    "offset": offset,
                    "text": String::from_utf8_lossy(text),
                }));
                length
            } else {
                self.head(&name);
                output::raw(&bytes);
                self.shown = Some((name.clone(), bytes.ends_with(b"\n")));
                bytes.len()
            };
            let length = u64::try_from(length).unwrap_or(u64::MAX);
            self.read.insert(name.clone(), offset.saturating_add(length));
        }
    }

    /// Names the log that follows, unless it is the one before: on standard error, so that
    /// standard output is what the steps have written and nothing else.
    fn head(&self, name: &str) {
        match &self.shown {
            Some((shown, _)) if shown == name => {}
            Some((_, false)) => output::note(&format!("\n==> {name} <==")),
            _ => output::note(&format!("==> {name} <==")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_waits_to_be_started_again_takes_no_time_meanwhile() {
        let at = |second: i64| Timestamp::from_micros(second * 1_000_000);
        let run = |status: &str| json!({ "status": status, "started_at": at(1) });
        assert_eq!(took(&run("STARTED"), at(17)), "16s");
        assert_eq!(took(&run("QUEUED"), at(17)), "–");
    }

    #[test]
    fn a_piece_of_a_log_ends_with_a_whole_character_where_it_can() {
        assert_eq!(whole_characters("né".as_bytes()), "né".as_bytes());
        assert_eq!(whole_characters(&"né".as_bytes()[..2]), b"n");
        assert_eq!(whole_characters(&"é".as_bytes()[..1]), &"é".as_bytes()[..1]);
        assert_eq!(whole_characters(b"\xff\xfe!"), b"\xff\xfe!");
    }
}
