//! Steps that invoke an AWS Lambda function: what it is given, and what came of it.

use std::time::{Duration, SystemTime};

use millstream_io::aws::{
    FunctionCall, Invocation, LambdaError, ObjectError, Wait, invoke, put_object,
};
use millstream_model::{
    ErrorCode, ExactJson, HumanDuration, Invocation as Kind, LambdaStep, StepError,
};
use serde_json::{Map, Value, json};

use super::asset::Metadata;
use super::attempt::{Attempt, Ending, Returned};
use super::context::Context;
use super::template::Templates;
use crate::worker::BUCKET;

/// How long an attempt may take when its step does not say: what a function waits for itself.
pub(super) const TIMEOUT: Duration = Duration::from_mins(5);

/// How much later than the attempt the request itself would end.
const GRACE: Duration = Duration::from_secs(5);

/// The key of an object whose step names none.
const OBJECT_KEY: &str = "results/{{ job_id }}/{{ task_id }}.json";

/// Invokes the function of `step`.
pub(super) async fn run(
    attempt: &mut Attempt<'_>,
    step: &LambdaStep,
    context: &Context,
) -> Result<Returned, Ending> {
    let templates = context.templates();
    let call = call(attempt, step, context, &templates)?;
    let object = object(attempt, step, &templates)?;
    let value = attempt.within(carry_out(attempt, &call, object.as_ref())).await??;
    Ok(Returned::Document(value, Metadata::new()))
}

async fn carry_out(
    attempt: &Attempt<'_>,
    call: &FunctionCall,
    object: Option<&Object>,
) -> Result<Value, Ending> {
    let settings = &attempt.worker.settings;
    let client = attempt
        .worker
        .aws_client()
        .map_err(|error| Ending::failed(ErrorCode::Internal, error.to_string()))?;
    let Invocation { result, request_id, log } =
        invoke(client, &settings.aws, call, now(attempt)).await;
    if let Some(id) = request_id {
        attempt.say(&[format!("{} answered request {id}", call.function)]);
    }
    if let Some(log) = log {
        let lines: Vec<String> = log.lines().map(str::to_owned).collect();
        attempt.say(&lines);
    }
    let ExactJson { value, note } = result.map_err(|error| failed(&error))?;
    if let Some(note) = note {
        attempt.say(&[note]);
    }
    let Some(Object { bucket, key }) = object else { return Ok(value) };
    let stored = put_object(client, &settings.aws, (bucket, key), &value, now(attempt))
        .await
        .map_err(|error| not_stored(&error))?;
    attempt.say(&[format!("{} bytes in {}", stored.bytes, stored.location)]);
    let mut fields = match value {
        Value::Object(fields) => fields,
        other => Map::from_iter([("result".to_owned(), other)]),
    };
    fields.insert("result_location".to_owned(), json!(stored.location));
    fields.insert("result_s3_key".to_owned(), json!(stored.key));
    fields.insert("result_size_bytes".to_owned(), json!(stored.bytes));
    Ok(Value::Object(fields))
}

fn now(attempt: &Attempt<'_>) -> SystemTime {
    let micros = u64::try_from(attempt.seams.clock.now().as_micros()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}

fn failed(error: &LambdaError) -> Ending {
    let step_error = StepError {
        code: error.code(),
        message: error.to_string(),
        detail: error.detail().map(str::to_owned),
    };
    Ending::with_remedy(step_error, error.remedy())
}

fn not_stored(error: &ObjectError) -> Ending {
    let message = format!("Failed to upload result to S3: {error}");
    let step_error = StepError { code: ErrorCode::StepLambda, message, detail: None };
    Ending::with_remedy(step_error, error.remedy())
}

/// The event as document 004 has it, with the payload's templates resolved.
fn call(
    attempt: &Attempt<'_>,
    step: &LambdaStep,
    context: &Context,
    templates: &Templates<'_>,
) -> Result<FunctionCall, Ending> {
    let payload =
        templates.render_json(&Value::Object(step.payload.clone())).map_err(Ending::ForGood)?;
    let function = templates.render(&step.function_name).map_err(Ending::ForGood)?;
    let json = context.json();
    let mut seen = match json.get("trigger") {
        Some(Value::Object(trigger)) => trigger.clone(),
        _ => Map::new(),
    };
    let upstream = json.get("upstream_results").cloned().unwrap_or_default();
    seen.insert("upstream_results".to_owned(), upstream);
    let event = json!({
        "job_id": attempt.assignment.run,
        "task_id": attempt.step.key,
        "context": seen,
        "config": node(attempt, step, &function, payload),
        "timestamp": attempt.seams.clock.now(),
    });
    let wait = match step.invocation_type {
        Kind::Sync => Wait::ForAnswer,
        Kind::Async => Wait::ForAcceptance,
    };
    Ok(FunctionCall { function, event, wait, timeout: attempt.timeout() + GRACE })
}

/// The node as its file has it, which functions of document 004 look into.
fn node(attempt: &Attempt<'_>, step: &LambdaStep, function: &str, payload: Value) -> Value {
    let mut config = json!(step);
    if let Some(config) = config.as_object_mut() {
        config.insert("function_name".to_owned(), function.into());
        config.insert("payload".to_owned(), payload);
        if let Some(HumanDuration(timeout)) = attempt.step.timeout {
            config.insert("timeout".to_owned(), json!(timeout.as_secs()));
        }
    }
    json!({
        "id": attempt.step.key,
        "type": "lambda",
        "config": config,
        "depends_on": attempt.step.depends_on,
    })
}

/// Where a result goes.
struct Object {
    bucket: String,
    key: String,
}

fn object(
    attempt: &Attempt<'_>,
    step: &LambdaStep,
    templates: &Templates<'_>,
) -> Result<Option<Object>, Ending> {
    // What is handed over has no result yet.
    if !step.store_output_to_s3 || step.invocation_type == Kind::Async {
        return Ok(None);
    }
    let Some(bucket) = attempt.worker.settings.bucket.clone() else {
        let message = format!("`store_output_to_s3` needs a bucket; set {BUCKET} for the server");
        return Err(Ending::for_good(ErrorCode::StepResource, message));
    };
    let key = step.output_s3_key.as_deref().unwrap_or(OBJECT_KEY);
    let key = templates.render(key).map_err(Ending::ForGood)?;
    Ok(Some(Object { bucket, key }))
}
