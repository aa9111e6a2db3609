//! Timeouts and retries, in the form of definition files and in document 004's.

use millstream_model::{Backoff, ErrorCode, HumanDuration, RetryPolicy};

use crate::fields::{Field, Fields, parsed};
use crate::finding::Findings;
use crate::keys::steps::RETRY;
use crate::tree::Value;

/// The most retries of a step.
const RETRIES_MAX: u32 = 1_000;

/// How waits grow, by their names.
pub(crate) const BACKOFFS: &[(&str, Backoff)] = &[
    ("constant", Backoff::Constant),
    ("linear", Backoff::Linear),
    ("exponential", Backoff::Exponential),
];

/// The timeout in `fields`: seconds, or text like `5m`.
pub(crate) fn timeout(fields: &Fields<'_>, findings: &mut Findings) -> Option<HumanDuration> {
    let field = fields.get("timeout")?;
    longer_than_0(
        &field,
        "leave it out for 24 hours (5 minutes for `lambda`), or write a long one like `7d`",
        findings,
    )
}

/// A duration that is not 0; `help` says what to do instead of writing 0.
pub(crate) fn longer_than_0(
    field: &Field<'_>,
    help: &str,
    findings: &mut Findings,
) -> Option<HumanDuration> {
    let duration = duration(field, findings)?;
    if duration.0.is_zero() {
        let message = format!("`{}` must be longer than 0", field.name);
        findings.error(ErrorCode::DefinitionValue, field.node.spot, message).help(help);
        return None;
    }
    Some(duration)
}

/// A duration in `field` that is longer than 0.
pub(crate) fn positive(field: &Field<'_>, findings: &mut Findings) -> Option<HumanDuration> {
    let length = duration(field, findings)?;
    if length.0.is_zero() {
        let message = format!("`{}` must be longer than 0", field.name);
        findings.error(ErrorCode::DefinitionValue, field.node.spot, message);
        return None;
    }
    Some(length)
}

/// A length of time: seconds, or text like `5m`.
pub(crate) fn duration(field: &Field<'_>, findings: &mut Findings) -> Option<HumanDuration> {
    match &field.node.value {
        Value::Text(text) => parsed(text, field.node.spot, findings),
        Value::Number(number) => parsed(&number.written, field.node.spot, findings),
        _ => {
            field.mistyped("seconds or text like `5m`", findings);
            None
        }
    }
}

/// The retry policy in `fields`: the number of attempts after the first, or an object.
///
/// As in document 004, what is neither means no retry.
pub(crate) fn retry(fields: &Fields<'_>, findings: &mut Findings) -> Option<RetryPolicy> {
    let field = fields.get("retry")?;
    match &field.node.value {
        Value::Map(_) => policy(&field, findings),
        Value::Number(number) if number.value.is_u64() => {
            Some(RetryPolicy { max: field.whole(0, RETRIES_MAX, findings)?, ..RetryPolicy::NEVER })
        }
        Value::Text(text) if text.is_empty() => Some(RetryPolicy::NEVER),
        _ => {
            let written = match &field.node.value {
                Value::Number(_) | Value::Bool(_) => field.node.plain(),
                _ => None,
            };
            let written = written.unwrap_or_else(|| field.node.shape());
            let message = format!("`retry` is {written}, which means no retry");
            findings
                .warning(ErrorCode::DefinitionValue, field.node.spot, message)
                .help("write the number of attempts after the first, like `retry: 3`; 0 for none");
            Some(RetryPolicy::NEVER)
        }
    }
}

fn policy(field: &Field<'_>, findings: &mut Findings) -> Option<RetryPolicy> {
    let fields = Fields::open(field.node, "retry policy", RETRY.keys, findings)?;
    let max = fields.need("max", "write the number of attempts after the first", findings);
    Some(RetryPolicy {
        max: max?.whole(0, RETRIES_MAX, findings)?,
        delay: fields.get("delay").and_then(|it| duration(&it, findings)).unwrap_or_default(),
        backoff: fields
            .get("backoff")
            .and_then(|it| it.choice(BACKOFFS, findings))
            .unwrap_or_default(),
        jitter: fields.get("jitter").and_then(|it| it.flag(findings)).unwrap_or_default(),
    })
}
