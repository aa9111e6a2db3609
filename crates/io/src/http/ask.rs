//! One question: sent, asked again while its answer is not ready, and judged by its status.

use std::time::Duration;

use jiff::fmt::rfc2822;
use millstream_model::{Backoff, HttpBody, HttpMethod, RetryWhile, Timestamp};
use millstream_outbound::{Answer, Body, Client, Method, Request, shown_url};
use serde_json::Value;

use super::{HttpCall, HttpError, Mask, Pace};

/// The longest wait between two questions while an answer is not ready.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// The longest wait that an answer can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// How much of an answer an error shows.
const EXCERPT_MAX: usize = 1_000;

/// What is asked next: an address, and the body that goes there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    pub(super) url: String,
    pub(super) body: HttpBody,
}

/// A service that is asked, and what it took so far.
pub(super) struct Asking<'a> {
    pub(super) client: Client,
    pub(super) call: &'a HttpCall,
    pub(super) pace: &'a dyn Pace,
    pub(super) requests: u64,
    pub(super) bytes: u64,
}

impl Asking<'_> {
    /// The successful answer to `question`, and what errors call the request.
    pub(super) async fn ask(&mut self, question: &Question) -> Result<(Answer, String), HttpError> {
        let name = format!("{} {}", self.call.method.as_str(), shown_url(&question.url));
        let started = self.pace.now();
        let mut round = 0_u32;
        loop {
            let (answer, mask) = self.send(question).await?;
            let waiting = self.call.retry_while.as_ref();
            let Some(waiting) = waiting.filter(|it| is_not_ready(it, &answer)) else {
                return judged(answer, name, &mask, self.pace.now());
            };
            let now = self.pace.now();
            let waited = now.since(started);
            let asked = retry_after(&answer, now);
            let Some(wait) = wait_within(waiting, round, asked.unwrap_or_default(), waited) else {
                return Err(HttpError::NotReady { request: name, waited, retry_after: asked });
            };
            if round == 0 {
                self.pace.say(&format!("{name} is not ready yet; asking again until it is"));
            }
            self.pace.sleep(wait).await;
            round = round.saturating_add(1);
        }
    }

    async fn send(&mut self, question: &Question) -> Result<(Answer, Mask), HttpError> {
        let call = self.call;
        let mut mask = call.mask.clone();
        let mut headers: Vec<(&str, String)> = vec![
            ("accept", "application/json, */*;q=0.5".to_owned()),
            ("user-agent", format!("millstream/{}", env!("CARGO_PKG_VERSION"))),
        ];
        if let Some(auth) = &call.auth {
            let (scheme, credentials) = auth.credentials(self.pace.now())?;
            mask.add(&credentials);
            headers.push(("authorization", format!("{scheme} {credentials}")));
        }
        for (name, value) in &call.headers {
            headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            headers.push((name, value.clone()));
        }
        let request = Request {
            method: method(call.method),
            url: &question.url,
            headers: &headers,
            body: body(&question.body),
        };
        self.requests += 1;
        let answer = self.client.send(request).await.map_err(HttpError::Outbound)?;
        self.bytes = self.bytes.saturating_add(answer.body.len() as u64);
        Ok((answer, mask))
    }
}

fn method(method: HttpMethod) -> Method {
    match method {
        HttpMethod::Get => Method::Get,
        HttpMethod::Post => Method::Post,
        HttpMethod::Put => Method::Put,
        HttpMethod::Patch => Method::Patch,
        HttpMethod::Delete => Method::Delete,
    }
}

fn body(body: &HttpBody) -> Option<Body> {
    match body {
        HttpBody::None => None,
        HttpBody::Json(value) => Some(Body::json(value.to_string().into_bytes())),
        HttpBody::Form(fields) => Some(Body::form(fields)),
        HttpBody::Text(text) => Some(Body::text(text)),
    }
}

fn is_not_ready(waiting: &RetryWhile, answer: &Answer) -> bool {
    waiting.status.is_none_or(|status| status == answer.status)
        && waiting.json.as_ref().is_none_or(|wanted| {
            serde_json::from_slice(&answer.body).is_ok_and(|value| holds(&value, wanted))
        })
}

/// Whether `value` is `wanted`, further keys of objects aside.
fn holds(value: &Value, wanted: &Value) -> bool {
    match (value, wanted) {
        (Value::Object(value), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| value.get(key).is_some_and(|value| holds(value, wanted))),
        _ => value == wanted,
    }
}

fn wait_of(waiting: &RetryWhile, round: u32) -> Duration {
    let factor = match waiting.backoff {
        Backoff::Constant => 1,
        Backoff::Linear => round.saturating_add(1),
        Backoff::Exponential => 1_u32.checked_shl(round).unwrap_or(u32::MAX),
    };
    waiting.every.0.saturating_mul(factor).min(WAIT_MAX.max(waiting.every.0))
}

/// How long to wait before the same is asked once more, when it was not ready for `waited` and the
/// answer asks to come back after `asked`; `None` when `max_time` ends here.
fn wait_within(
    waiting: &RetryWhile,
    round: u32,
    asked: Duration,
    waited: Duration,
) -> Option<Duration> {
    let asked = asked.min(WAIT_MAX);
    let wait = wait_of(waiting, round).max(asked);
    let Some(max) = waiting.max_time else { return Some(wait) };
    let left = max.0.saturating_sub(waited);
    // The last question comes at the end of the time, unless the service wants to be left alone.
    (!left.is_zero() && asked <= left).then(|| wait.min(left))
}

/// `answer`, if its status is a success.
fn judged(
    answer: Answer,
    request: String,
    mask: &Mask,
    now: Timestamp,
) -> Result<(Answer, String), HttpError> {
    if (200..300).contains(&answer.status) {
        return Ok((answer, request));
    }
    Err(HttpError::Status {
        request,
        status: answer.status,
        retry_after: retry_after(&answer, now),
        excerpt: excerpt(&answer.body, mask),
    })
}

/// How long `answer` asks to wait: seconds, or a date.
fn retry_after(answer: &Answer, now: Timestamp) -> Option<Duration> {
    let text = answer.header("retry-after")?.trim();
    let wait = if let Ok(seconds) = text.parse::<u64>() {
        Duration::from_secs(seconds)
    } else {
        let date = rfc2822::parse(text).ok()?.timestamp();
        let micros = date.as_microsecond().saturating_sub(now.as_micros());
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// The beginning of `body` as text, without secrets.
pub(super) fn excerpt(body: &[u8], mask: &Mask) -> String {
    // Masked before it is cut: half of a secret would not be known as one.
    let start = body.get(..EXCERPT_MAX * 8).unwrap_or(body);
    let text = mask.hide(&String::from_utf8_lossy(start));
    text.trim().chars().take(EXCERPT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_may_hold_more_than_what_means_not_ready() {
        let wanted = json!({ "error": "Continue wait", "of": { "a": [1] } });
        for (value, is_held) in [
            (json!({ "error": "Continue wait", "of": { "a": [1], "b": 2 }, "stage": 1 }), true),
            (json!({ "error": "Continue wait", "of": { "a": [1, 2] } }), false),
            (json!({ "error": "Continue wait" }), false),
            (json!([]), false),
        ] {
            assert_eq!(holds(&value, &wanted), is_held, "{value}");
        }
    }

    #[test]
    fn a_retry_after_is_seconds_or_a_date_and_at_most_an_hour() {
        let now = Timestamp::from_micros(784_111_777_000_000);
        let wait = |text: &str| {
            let headers = vec![("retry-after".to_owned(), text.to_owned())];
            retry_after(&Answer { headers, ..Answer::default() }, now).map(|it| it.as_secs())
        };
        assert_eq!(wait("7"), Some(7));
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:07 GMT"), Some(30));
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(wait("999999999"), Some(3600));
        assert_eq!(wait("soon"), None);
    }

    #[test]
    fn waits_grow_up_to_a_minute() {
        let waiting = RetryWhile {
            status: None,
            json: None,
            every: RetryWhile::default_every(),
            backoff: Backoff::Exponential,
            max_time: None,
        };
        let seconds: Vec<u64> =
            [0, 1, 2, 5, 6, 60].iter().map(|round| wait_of(&waiting, *round).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 32, 60, 60]);
    }
}
