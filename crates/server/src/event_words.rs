//! What each kind of event says, in words: the one place of them, for pages and the command line.
//!
//! Pure. Whoever shows an event puts its time, its step and its shape beside the words.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_model::{
    CheckSeverity, EventBody, MetadataValue, PartitionKey, PlannedRetry, StepError, StepUsage,
    Timestamp,
};

use crate::format::{self, Moment};

/// Longest result or metadata in a line, in characters.
const DATA_MAX: usize = 160;

/// An event in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventWords {
    /// What happened.
    pub text: String,
    /// The reason, result or facts that came with it; empty where there are none.
    pub data: String,
}

fn say(text: impl Into<String>, data: impl Into<String>) -> EventWords {
    EventWords { text: text.into(), data: data.into() }
}

/// What `body`, which happened at `at`, says.
pub fn event_words(body: &EventBody, at: Timestamp) -> EventWords {
    match body {
        EventBody::RunQueued { cause } => say("queued", crate::parts::cause(cause)),
        EventBody::LaunchFailed { error } => {
            say("the launch failed; the run is queued again", error)
        }
        EventBody::RunStarted { worker } => say(format!("started on {worker}"), ""),
        EventBody::CancelRequested { by } => say(format!("cancel asked for by {by}"), ""),
        EventBody::RunSucceeded {} => say("the run succeeded", ""),
        EventBody::RunFailed { reason } => say("the run failed", reason),
        EventBody::RunCanceled {} => say("the run was canceled", ""),
        EventBody::WorkerLost { reason } => say("the run was taken from its worker", reason),
        EventBody::RunRetried { retry, number, max, by, .. } => {
            let beside = match by {
                _ if *number > 0 => format!(" ({number} of {max})"),
                Some(by) => format!(", asked for by {by}"),
                None => String::new(),
            };
            say(format!("tried again by run {}{beside}", retry.short()), "")
        }
        EventBody::RunGaveUp { reason } => {
            say("given up and put among the dead letters", reason.in_words())
        }
        EventBody::Reported { by, asset, partition, metadata, .. } => {
            let text = format!("{by} reported {asset}{}", for_partition(partition.as_ref()));
            say(text, facts(metadata))
        }
        _ => step_words(body, at),
    }
}

fn step_words(body: &EventBody, at: Timestamp) -> EventWords {
    match body {
        EventBody::StepStarted { attempt, .. } => say(format!("started{}", nth(*attempt)), ""),
        EventBody::StepSucceeded { attempt, took_micros, result, result_ref, usage, .. } => {
            let took = format::took(Duration::from_micros(*took_micros));
            let result = match result_ref {
                Some(key) => format!("result in {key}"),
                None if result.is_null() => String::new(),
                None => format::middle(&result.to_string(), DATA_MAX),
            };
            let nth = nth(*attempt);
            say(format!("succeeded{nth} · its own work took {took}{}", used(*usage)), result)
        }
        EventBody::StepSkipped { reason, .. } => say("skipped", reason),
        EventBody::StepFailed { attempt, error, retry, usage, .. } => {
            let next = retry.map_or(String::new(), |next| next_words(next, at));
            say(format!("failed{}{}{next}", nth(*attempt), used(*usage)), error_words(error))
        }
        EventBody::StepUpstreamFailed { upstream, .. } => {
            say(format!("not started: {upstream} failed"), "")
        }
        EventBody::StepCanceled { .. } => say("canceled", ""),
        EventBody::StepLost { attempt, .. } => {
            say(format!("lost with its worker{}", nth(*attempt)), "")
        }
        EventBody::Materialized { asset, partition, metadata, remark, .. } => {
            let text = match remark {
                None => format!("built {asset}{}", for_partition(partition.as_ref())),
                Some(remark) => format!("reported {asset}: {remark}"),
            };
            say(text, facts(metadata))
        }
        EventBody::AssetChecked { asset, partition, check, passed, severity, metadata, .. } => {
            let came = match severity {
                _ if *passed => "passed",
                CheckSeverity::Error => "did not pass",
                CheckSeverity::Warn => "did not pass, which is a warning",
            };
            let of = for_partition(partition.as_ref());
            say(format!("check {check} of {asset}{of} {came}"), facts(metadata))
        }
        EventBody::StepMessage { payload, .. } => {
            say("said", format::middle(&payload.to_string(), DATA_MAX))
        }
        other => say(other.kind().replace('_', " "), ""),
    }
}

/// The next attempt behind how one ended.
fn next_words(next: PlannedRetry, at: Timestamp) -> String {
    let due = Moment::clock(at.after(next.delay()));
    format!("; attempt {} at {}", next.attempt, due.text())
}

/// Why an attempt failed, with the code that its page explains.
fn error_words(error: &StepError) -> String {
    format!("{} [{}]", error.message, error.code)
}

/// What an attempt's processes used, behind how it ended.
fn used(usage: Option<StepUsage>) -> String {
    let Some(usage) = usage else { return String::new() };
    let mut words = vec![String::new(), format!("CPU {}", format::took(usage.cpu()))];
    if usage.peak_memory_bytes > 0 {
        words.push(format!("peak memory {}", format::bytes(usage.peak_memory_bytes)));
    }
    if usage.output_dropped_bytes > 0 {
        words.push(format!("{} of output dropped", format::bytes(usage.output_dropped_bytes)));
    }
    words.join(" · ")
}

fn for_partition(partition: Option<&PartitionKey>) -> String {
    partition.map_or(String::new(), |key| format!(" for {key}"))
}

/// Metadata in one line.
fn facts(metadata: &BTreeMap<String, MetadataValue>) -> String {
    let facts = metadata.iter().map(|(name, value)| format!("{name} {}", value.value));
    format::middle(&facts.collect::<Vec<_>>().join(" · "), DATA_MAX)
}

/// Names the attempt where it is not the first.
fn nth(attempt: u32) -> String {
    if attempt > 1 { format!(" (attempt {attempt})") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use millstream_model::{ErrorCode, RetryFrom, RunId};
    use serde_json::json;

    use super::*;

    fn said(body: &EventBody) -> (String, String) {
        let EventWords { text, data } = event_words(body, Timestamp::from_micros(0));
        (text, data)
    }

    #[test]
    fn what_went_wrong_is_said_with_its_reason() {
        let step = || "load".parse().unwrap();
        let retry = RunId::new(Timestamp::from_micros(0), [7; 10]);
        let error = StepError {
            code: ErrorCode::StepExit,
            message: "exit code 3".to_owned(),
            detail: None,
        };
        let failed = EventBody::StepFailed {
            step: step(),
            attempt: 2,
            error,
            retry: Some(PlannedRetry { attempt: 3, delay_micros: 61_000_000 }),
            usage: None,
        };
        let checked = EventBody::AssetChecked {
            step: step(),
            asset: "orders".parse().unwrap(),
            partition: Some("day1".parse().unwrap()),
            check: "not_empty".to_owned(),
            passed: false,
            severity: CheckSeverity::Error,
            metadata: BTreeMap::from([("rows".to_owned(), MetadataValue::int(0))]),
        };
        let warned = EventBody::AssetChecked {
            step: step(),
            asset: "orders".parse().unwrap(),
            partition: None,
            check: "few".to_owned(),
            passed: false,
            severity: CheckSeverity::Warn,
            metadata: BTreeMap::new(),
        };
        let reason = || "no sign of life".to_owned();
        let payload = json!({"left": 3});
        let retried = |number, by: Option<&str>| {
            let (from, by) = (RetryFrom::Failure, by.map(str::to_owned));
            EventBody::RunRetried { retry, number, max: 2, from, by }
        };
        let again = |beside| format!("tried again by run {}{beside}", retry.short());
        let reported = EventBody::Materialized {
            step: step(),
            asset: "ordrs".parse().unwrap(),
            partition: None,
            metadata: BTreeMap::new(),
            data_version: None,
            code_version: "external".to_owned(),
            remark: Some("no asset is called so".to_owned()),
        };
        let table = [
            (reported, "reported ordrs: no asset is called so", ""),
            (failed, "failed (attempt 2); attempt 3 at 00:01:01", "exit code 3 [step-exit]"),
            (checked, "check not_empty of orders for day1 did not pass", "rows 0"),
            (warned, "check few of orders did not pass, which is a warning", ""),
            (EventBody::StepMessage { step: step(), attempt: 1, payload }, "said", "{\"left\":3}"),
            (
                EventBody::WorkerLost { reason: reason() },
                "the run was taken from its worker",
                "no sign of life",
            ),
            (EventBody::RunFailed { reason: reason() }, "the run failed", "no sign of life"),
            (retried(1, None), &again(" (1 of 2)"), ""),
            (retried(0, Some("ana")), &again(", asked for by ana"), ""),
            (retried(0, None), &again(""), ""),
        ];
        for (body, text, data) in table {
            assert_eq!(said(&body), (text.to_owned(), data.to_owned()));
        }
    }
}
