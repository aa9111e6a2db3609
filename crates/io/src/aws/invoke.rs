//! One invocation of a function.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millstream_model::ExactJson;
use millstream_outbound::{Answer, Aws, AwsService, Body, Client, Method, Request, encoded};
use serde_json::{Value, json};

use super::answer::understand;
use super::error::LambdaError;

/// The largest answer: AWS ends a function's at 6 MB.
const ANSWER_MAX: usize = 8 * 1024 * 1024;

/// A function, and what it is called with.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionCall {
    /// Its name or ARN.
    pub function: String,
    /// What it is given.
    pub event: Value,
    /// Whether its answer is waited for.
    pub wait: Wait,
    /// How long the request may take.
    pub timeout: Duration,
}

/// Whether a caller waits for the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until it has answered.
    ForAnswer,
    /// Until AWS has taken the event.
    ForAcceptance,
}

/// What came of an invocation.
#[derive(Debug)]
pub struct Invocation {
    /// What the function returned.
    pub result: Result<ExactJson, LambdaError>,
    /// What AWS calls the request, if it answered.
    pub request_id: Option<String>,
    /// The end of what the function logged, whatever came of it.
    pub log: Option<String>,
}

/// Invokes a function once: a second time could do its work twice.
pub async fn invoke(
    client: &Client,
    aws: &Aws,
    call: &FunctionCall,
    now: SystemTime,
) -> Invocation {
    let answer = match send(client, aws, call, now).await {
        Ok(answer) => answer,
        Err(error) => return Invocation { result: Err(error), request_id: None, log: None },
    };
    let result = understand(&answer).map(|result| match call.wait {
        Wait::ForAnswer => result,
        Wait::ForAcceptance => {
            json!({ "status": "async_invoked", "function": call.function }).into()
        }
    });
    let request_id = answer.header("x-amzn-requestid").map(str::to_owned);
    Invocation { result, request_id, log: log_tail(&answer) }
}

async fn send(
    client: &Client,
    aws: &Aws,
    call: &FunctionCall,
    now: SystemTime,
) -> Result<Answer, LambdaError> {
    let endpoint = aws.endpoint(AwsService::Lambda);
    let function = encoded(&call.function, "");
    let url = format!("{endpoint}/2015-03-31/functions/{function}/invocations");
    let body = Body::json(call.event.to_string().into_bytes());
    let mut headers = aws.signed(AwsService::Lambda, (Method::Post, &url), &body.bytes, now)?;
    match call.wait {
        Wait::ForAnswer => {
            headers.push(("x-amz-invocation-type", "RequestResponse".to_owned()));
            headers.push(("x-amz-log-type", "Tail".to_owned()));
        }
        Wait::ForAcceptance => headers.push(("x-amz-invocation-type", "Event".to_owned())),
    }
    let request = Request { method: Method::Post, url: &url, headers: &headers, body: Some(body) };
    let client = client.within(call.timeout, ANSWER_MAX);
    client.send(request).await.map_err(LambdaError::Outbound)
}

fn log_tail(answer: &Answer) -> Option<String> {
    let bytes = STANDARD.decode(answer.header("x-amz-log-result")?).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
