//! A run with its steps as the commands that show or await one print it: the verdict first, then
//! the evidence.

use millstream_model::{ErrorCode, shell_word};
use serde_json::Value;

use super::answer::{rows, text};
use crate::output;

/// Why a run failed or waits; `–` when there is nothing to explain.
pub(super) fn why(run: &Value) -> String {
    if let Some(waits) = run.get("waits").and_then(Value::as_str) {
        return waits.to_owned();
    }
    match (run.get("failure"), run.get("hold_text").or_else(|| run.get("hold"))) {
        (Some(Value::String(failure)), _) => failure.clone(),
        (_, Some(Value::String(hold))) => hold.clone(),
        (_, Some(hold)) if !hold.is_null() => {
            serde_json::from_value::<millstream_model::HoldReason>(hold.clone())
                .map_or_else(|_| hold.to_string(), |reason| reason.to_string())
        }
        _ => "–".to_owned(),
    }
}

/// The id that people say.
pub(super) fn short(id: &str) -> String {
    let start = id.len().saturating_sub(8);
    id.get(start..).unwrap_or(id).to_owned()
}

/// Prints a run with its steps.
pub(super) fn print_outcome(run: &Value) {
    let partition = match text(run, "/partition") {
        none if none == "–" => String::new(),
        key => format!(" · {key}"),
    };
    output::line(&format!(
        "{}  run {}  {}{partition}  (tenant {})",
        text(run, "/status"),
        text(run, "/run_id"),
        text(run, "/title"),
        text(run, "/tenant")
    ));
    match (why(run), run.get("place").and_then(Value::as_u64)) {
        (nothing, None) if nothing == "–" => {}
        (nothing, Some(place)) if nothing == "–" => {
            output::line(&format!("  why: number {place} in the queue"));
        }
        (why, Some(place)) => output::line(&format!("  why: number {place} in the queue; {why}")),
        (why, None) => output::line(&format!("  why: {why}")),
    }
    if let Some(retry) = run.get("retried_as").and_then(Value::as_str) {
        let retry = short(retry);
        output::line(&format!("  tried again by run {retry}: `millstream run show {retry}`"));
    }
    let steps: Vec<Vec<String>> = rows(run, "steps").iter().map(step_line).collect();
    output::table(&["  STEP STATUS", "STEP", "ATTEMPT", "WHY"], &steps);
    for step in rows(run, "steps") {
        print_evidence(run, step);
    }
}

fn step_line(step: &Value) -> Vec<String> {
    let error = error_of(step)
        .map(|error| format!("{} [{}]", text(error, "/message"), text(error, "/code")));
    let reason = || Some(text(step, "/reason")).filter(|reason| reason != "–");
    // Of what is tried again both are worth knowing: how it failed, and what it waits for.
    let waits = reason().filter(|_| text(step, "/status") == "RETRYING");
    let error = match (error, waits) {
        (Some(error), Some(waits)) => Some(format!("{error}; {waits}")),
        (error, _) => error,
    };
    vec![
        format!("  {}", text(step, "/status")),
        text(step, "/step"),
        attempt(step),
        error.or_else(reason).unwrap_or_default(),
    ]
}

/// Why the newest attempt failed; nothing of a step that an attempt after that one brought to
/// its end.
fn error_of(step: &Value) -> Option<&Value> {
    let is_over = matches!(text(step, "/status").as_str(), "SUCCESS" | "SKIPPED");
    step.get("error").filter(|error| !error.is_null() && !is_over)
}

/// The number of the attempt, and of how many; the number alone where those that were lost with
/// their workers, and do not count, took it beyond them.
fn attempt(step: &Value) -> String {
    let number = |name: &str| step.get(name).and_then(Value::as_u64).unwrap_or(0);
    match (number("attempt"), number("attempts")) {
        (attempt, attempts) if attempt > attempts => attempt.to_string(),
        (attempt, attempts) => format!("{attempt}/{attempts}"),
    }
}

/// Prints the end of what a failed step has written, and how to read all of it.
fn print_evidence(run: &Value, step: &Value) {
    let name = text(step, "/step");
    let Some(error) = error_of(step) else { return };
    if let Some(detail) = error.get("detail").and_then(Value::as_str) {
        output::line(&format!("  {name}:"));
        for line in detail.lines() {
            output::line(&format!("    {line}"));
        }
    }
    if text(step, "/status") == "FAILURE" && may_have_written(step, error) {
        let (run, word) = (short(&text(run, "/run_id")), shell_word(&name));
        output::line(&format!(
            "  what {name} has written: `millstream run logs {run} --step {word}`"
        ));
    }
}

/// Whether a program of the step ran, so that there may be output of it. The error of one that
/// ended has the end of its output, if it wrote any.
fn may_have_written(step: &Value, error: &Value) -> bool {
    let has_program = ["command", "python", "local"].contains(&text(step, "/kind").as_str());
    let never_ran = [ErrorCode::StepSpawn, ErrorCode::StepTemplate, ErrorCode::StepInput];
    let code = text(error, "/code");
    let attempts = step.get("attempt").and_then(Value::as_u64).unwrap_or(0);
    let started = attempts > 0;
    let has_detail = error.get("detail").is_some_and(|detail| !detail.is_null());
    let ends = [
        ErrorCode::StepExit,
        ErrorCode::StepTimeout,
        ErrorCode::StepOutOfMemory,
        ErrorCode::StepLimit,
    ];
    let ended = ends.iter().any(|it| it.as_str() == code);
    let was_silent = attempts == 1 && ended && !has_detail;
    has_program && !was_silent && started && never_ran.iter().all(|never| never.as_str() != code)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn attempts_that_were_lost_do_not_count_against_those_that_are_allowed() {
        let shown = |attempt: u64, attempts: u64| {
            super::attempt(&json!({ "attempt": attempt, "attempts": attempts }))
        };
        assert_eq!([shown(0, 1), shown(2, 3), shown(2, 1)], ["0/1", "2/3", "2"]);
    }

    #[test]
    fn output_is_offered_of_what_ran() {
        let offered = |attempt: u64, code: &str| {
            let step = json!({ "kind": "command", "attempt": attempt });
            may_have_written(&step, &json!({ "code": code, "detail": "said" }))
        };
        let silent = |attempt: u64, code: &str| {
            let step = json!({ "kind": "command", "attempt": attempt });
            may_have_written(&step, &json!({ "code": code, "detail": null }))
        };
        assert!(!silent(1, "step-exit") && silent(2, "step-exit"), "the first may have written");
        assert!(!silent(1, "step-out-of-memory") && !silent(1, "step-limit"));
        assert!(offered(1, "step-exit") && offered(2, "step-timeout"));
        assert!(!offered(1, "step-spawn") && !offered(1, "step-template"));
        assert!(!offered(0, "step-exit"));
    }
}
