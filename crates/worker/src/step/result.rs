//! What a step leaves in its result file, and where the result goes.

use std::io;
use std::path::Path;

use millstream_blob::{RESULT_INLINE_MAX, RESULT_MAX, RESULT_WAYS, ResultKey};
use millstream_model::{ErrorCode, ExactJson};
use serde_json::Value;
use tokio::io::AsyncReadExt;

use super::attempt::{Attempt, Ending, Returned};

/// The most characters of a reason for doing nothing.
const REASON_MAX: usize = 2_000;

impl Attempt<'_> {
    /// What the step left in the result file at `path`.
    pub(super) async fn left(&self, path: &Path) -> Result<Returned, Ending> {
        Ok(self.value(read(path).await?))
    }

    /// What a value means that the step gave back.
    pub(super) fn value(&self, ExactJson { value, note }: ExactJson) -> Returned {
        if let Some(note) = note {
            self.say(&[note]);
        }
        returned(value)
    }
}

/// Reads the result file at `path`; no file, or an empty one, is no result.
async fn read(path: &Path) -> Result<ExactJson, Ending> {
    let unreadable = |error: io::Error| {
        let message = format!("the result file cannot be read: {error}");
        Ending::failed(ErrorCode::StepResult, message)
    };
    // Most steps leave none, and to find that out costs less than to have another thread do it.
    let file = match std::fs::File::open(path) {
        Ok(file) => tokio::fs::File::from_std(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(ExactJson::default());
        }
        Err(error) => return Err(unreadable(error)),
    };
    let mut bytes = Vec::new();
    // One byte more than allowed tells too large from just large enough.
    let limit = RESULT_MAX as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).await.map_err(unreadable)?;
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<ExactJson, Ending> {
    if bytes.len() > RESULT_MAX {
        return Err(Ending::for_good(
            ErrorCode::StepResult,
            format!("the result is over the limit of 16 MiB{RESULT_WAYS}"),
        ));
    }
    if bytes.trim_ascii().is_empty() {
        return Ok(ExactJson::default());
    }
    ExactJson::read(bytes).map_err(|error| {
        let message = format!("the result is not JSON ({error}); write one JSON value");
        Ending::failed(ErrorCode::StepResult, message)
    })
}

/// What a value means that a step gave back.
pub(super) fn returned(value: Value) -> Returned {
    match skip_reason(&value) {
        Some(reason) => Returned::Skipped(reason),
        None => Returned::Value(value),
    }
}

/// The reason in `{"status": "skipped", "reason": …}`.
fn skip_reason(value: &Value) -> Option<String> {
    if value.get("status")?.as_str()? != "skipped" {
        return None;
    }
    Some(short(value.get("reason").and_then(Value::as_str).unwrap_or_default()))
}

/// As much of a reason as is kept; a blank one is none.
pub(super) fn short(reason: &str) -> String {
    match reason.trim() {
        "" => "the step gave no reason".to_owned(),
        _ => reason.chars().take(REASON_MAX).collect(),
    }
}

/// The result as its event carries it: inline, or by reference once it is stored.
pub(super) async fn keep(
    attempt: &Attempt<'_>,
    value: Value,
) -> Result<(Value, Option<String>), Ending> {
    if value.is_null() {
        return Ok((value, None));
    }
    let not_kept =
        |problem: String| Ending::failed(ErrorCode::StepResult, format!("the result {problem}"));
    let json = serde_json::to_vec(&value)
        .map_err(|error| not_kept(format!("cannot be written: {error}")))?;
    if json.len() <= RESULT_INLINE_MAX {
        return Ok((value, None));
    }
    let key = ResultKey {
        tenant: &attempt.assignment.tenant,
        run: attempt.assignment.run,
        step: &attempt.step.key,
        attempt: attempt.number,
    };
    let reference = attempt
        .worker
        .blobs
        .put_result(key, &json)
        .await
        .map_err(|error| not_kept(format!("cannot be stored: {error}")))?;
    Ok((Value::Null, Some(reference)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r136_a_skipped_status_with_a_reason_is_no_result() {
        let parse = |bytes| returned(parse(bytes).unwrap().value);
        let skipped = parse(br#"{"status": "skipped", "reason": "capacity 0"}"#);
        assert!(matches!(skipped, Returned::Skipped(reason) if reason == "capacity 0"));
        for blank in [&br#"{"status": "skipped", "reason": " "}"#[..], br#"{"status": "skipped"}"#]
        {
            let skipped = parse(blank);
            assert!(matches!(skipped, Returned::Skipped(it) if it == "the step gave no reason"));
        }
        let other = parse(br#"{"status": "done"}"#);
        assert!(matches!(other, Returned::Value(value) if value["status"] == "done"));
        assert!(matches!(parse(b" \n"), Returned::Value(Value::Null)));
    }

    #[test]
    fn a_result_that_is_not_json_or_too_large_is_an_error_with_a_way_out() {
        for bytes in [b"{oops".to_vec(), vec![b'1'; RESULT_MAX + 1]] {
            let Err(Ending::Failed(error) | Ending::ForGood(error)) = parse(&bytes) else {
                panic!("{} bytes were accepted", bytes.len());
            };
            assert_eq!(error.code, ErrorCode::StepResult);
            let is_large = bytes.len() > RESULT_MAX;
            assert_eq!(error.message.contains("return its path"), is_large, "{}", error.message);
        }
    }
}
