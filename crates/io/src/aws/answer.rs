//! What the answer to an invocation means.

use std::time::Duration;

use millstream_model::ExactJson;
use millstream_outbound::Answer;
use serde_json::Value;

use super::error::LambdaError;

/// How much of a refusal is shown.
const SAID_MAX: usize = 1_000;

/// The longest wait that an answer can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// The function's result in `answer`: its body, or what stands in the envelope of a gateway,
/// `{"statusCode": 200, "body": …}`.
pub(super) fn understand(answer: &Answer) -> Result<ExactJson, LambdaError> {
    match answer.status {
        200..=299 => {}
        429 => return Err(LambdaError::RateLimit { retry_after: retry_after(answer) }),
        status => return Err(refused(status, answer)),
    }
    let ExactJson { value, note } = json(answer)?;
    if answer.header("x-amz-function-error").is_some() {
        return Err(raised(&value));
    }
    let Value::Object(fields) = &value else {
        return Ok(ExactJson { value, note });
    };
    // A function that catches its own errors answers with the same two fields and no header.
    if fields.contains_key("errorMessage") && fields.contains_key("errorType") {
        return Err(raised(&value));
    }
    match fields.get("statusCode").and_then(Value::as_u64) {
        None => Ok(ExactJson { value, note }),
        Some(200..=299) => {
            let body = inner(fields.get("body"));
            Ok(ExactJson { note: body.note.or(note), ..body })
        }
        Some(429) => Err(LambdaError::RateLimit { retry_after: None }),
        Some(status) => {
            let said = match fields.get("body") {
                Some(Value::String(text)) => shortened(text),
                Some(body) => shortened(&body.to_string()),
                None => String::new(),
            };
            Err(LambdaError::Status { status, said, is_for_good: false })
        }
    }
}

/// The body of an envelope; one that is JSON in a text is read.
fn inner(body: Option<&Value>) -> ExactJson {
    match body {
        None => ExactJson::default(),
        Some(Value::String(text)) => {
            ExactJson::read(text.as_bytes()).unwrap_or_else(|_| Value::from(text.as_str()).into())
        }
        Some(body) => body.clone().into(),
    }
}

fn json(answer: &Answer) -> Result<ExactJson, LambdaError> {
    if answer.body.is_empty() {
        return Ok(ExactJson::default());
    }
    ExactJson::read(&answer.body)
        .map_err(|error| LambdaError::NotJson { problem: error.to_string() })
}

fn raised(value: &Value) -> LambdaError {
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let trace = value.get("stackTrace").and_then(Value::as_array).map(|lines| {
        let lines = lines.iter().map(|line| line.as_str().unwrap_or_default().trim_end());
        lines.collect::<Vec<_>>().join("\n")
    });
    LambdaError::Function {
        kind: text("errorType").unwrap_or_else(|| "unknown".to_owned()),
        message: text("errorMessage").unwrap_or_else(|| shortened(&value.to_string())),
        trace,
    }
}

/// What AWS says of a request that it does not carry out.
fn refused(status: u16, answer: &Answer) -> LambdaError {
    let body = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    let message = ["Message", "message"].iter().find_map(|key| body.get(key)?.as_str());
    let kind = answer.header("x-amzn-errortype").map(|kind| kind.split(':').next().unwrap_or(kind));
    let said = match (kind, message) {
        (Some(kind), Some(message)) => format!("{kind}: {message}"),
        (Some(text), None) | (None, Some(text)) => text.to_owned(),
        (None, None) => String::new(),
    };
    let is_for_good = matches!(status, 400..=499) && !matches!(status, 408 | 409);
    LambdaError::Status { status: status.into(), said: shortened(&said), is_for_good }
}

fn retry_after(answer: &Answer) -> Option<Duration> {
    let seconds = answer.header("retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

fn shortened(text: &str) -> String {
    text.trim().chars().take(SAID_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Remedy;

    fn answer(status: u16, body: &Value) -> Answer {
        Answer { status, body: body.to_string().into_bytes(), ..Answer::default() }
    }

    #[test]
    fn r192_each_shape_of_an_answer_is_a_result_or_an_error_that_says_which() {
        let raised = json!({ "errorMessage": "no book", "errorType": "ValueError" });
        for (status, body, wanted) in [
            (200, json!({ "total": 180 }), Ok(json!({ "total": 180 }))),
            (200, json!({ "statusCode": 200, "body": "{\"a\": 1}" }), Ok(json!({ "a": 1 }))),
            (200, json!({ "statusCode": 200, "body": { "a": 1 } }), Ok(json!({ "a": 1 }))),
            (200, json!({ "statusCode": 200, "body": "plain" }), Ok(json!("plain"))),
            (200, json!([1, 2]), Ok(json!([1, 2]))),
            (200, raised, Err("Lambda function error (ValueError): no book")),
            (
                200,
                json!({ "statusCode": 502, "body": "upstream" }),
                Err("Lambda invocation failed: HTTP 502 (upstream)"),
            ),
            (429, json!({}), Err("AWS Lambda rate limit exceeded")),
            (500, json!({}), Err("Lambda invocation failed: HTTP 500")),
        ] {
            let got = understand(&answer(status, &body));
            let got = got.map(|it| it.value).map_err(|error| error.to_string());
            assert_eq!(got, wanted.map_err(str::to_owned), "{status} {body}");
        }
    }

    #[test]
    fn a_refusal_is_for_good_unless_waiting_could_mend_it() {
        let mut refusal = answer(404, &json!({ "Message": "Function not found: x" }));
        let kind = "ResourceNotFoundException:http://internal.amazon.com/".to_owned();
        refusal.headers.push(("x-amzn-errortype".to_owned(), kind));
        let error = understand(&refusal).unwrap_err();
        assert_eq!(error.remedy(), Remedy::Mend);
        let wanted = "Lambda invocation failed: HTTP 404 (ResourceNotFoundException: Function not \
                      found: x)";
        assert_eq!(error.to_string(), wanted);
        for status in [503, 409] {
            let error = understand(&answer(status, &json!({}))).unwrap_err();
            assert_eq!(error.remedy(), Remedy::Retry);
        }
    }

    #[test]
    fn an_unhandled_error_is_known_by_its_header_and_brings_its_trace() {
        let body = json!({ "errorMessage": "Task timed out", "stackTrace": ["a\n", "b\n"] });
        let mut unhandled = answer(200, &body);
        unhandled.headers.push(("x-amz-function-error".to_owned(), "Unhandled".to_owned()));
        let error = understand(&unhandled).unwrap_err();
        assert_eq!(error.to_string(), "Lambda function error (unknown): Task timed out");
        assert_eq!(error.detail(), Some("a\nb"));
    }

    #[test]
    fn an_empty_answer_is_no_result_and_a_page_is_an_error() {
        let accepted = understand(&Answer { status: 202, ..Answer::default() });
        assert_eq!(accepted.unwrap(), ExactJson::default());
        let page = Answer { status: 200, body: b"<html>".to_vec(), ..Answer::default() };
        assert!(understand(&page).unwrap_err().to_string().contains("no JSON"));
    }
}
