//! Steps that ask an HTTP service: what is asked of `io`, and what came of it.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::BoxFuture;
use millstream_io::http::{
    Authorization, Fetched, HttpCall, HttpError, HttpOutcome, Mask, Pace, fetch,
};
use millstream_model::{
    ErrorCode, HttpAuth, HttpBody, HttpResource, HttpStep, MetadataKind, MetadataValue,
    ResourceDef, SecretRef, StepError, TextOrSecret, Timestamp,
};
use serde_json::json;

use super::asset::{Metadata, Rows};
use super::attempt::{Attempt, Ending, Returned};
use super::context::Context;
use super::scratch::Scratch;
use super::template::Templates;

/// Asks what `step` asks.
pub(super) async fn run(
    attempt: &mut Attempt<'_>,
    step: &HttpStep,
    context: &Context,
) -> Result<Returned, Ending> {
    let scratch = attempt.scratch_files()?;
    let call = call(attempt, step, &context.templates(), &scratch)?;
    let outcome = carry_out(attempt, &call).await?;
    let metadata = metadata(&outcome);
    Ok(match outcome.fetched {
        Fetched::Body(body) => Returned::Document(body, metadata),
        Fetched::Rows { columns, count } => {
            attempt.say(&[format!("{count} rows in {} pages", outcome.pages)]);
            Returned::Rows(Rows { columns, count, metadata, scratch })
        }
    })
}

async fn carry_out(attempt: &mut Attempt<'_>, call: &HttpCall) -> Result<HttpOutcome, Ending> {
    let client = attempt
        .worker
        .client()
        .map_err(|error| Ending::failed(ErrorCode::Internal, error.to_string()))?;
    let fetched = attempt.within(fetch(client, call, &AttemptPace(attempt))).await?;
    fetched.map_err(|error| failed(&error))
}

fn failed(error: &HttpError) -> Ending {
    let step_error = StepError {
        code: error.code(),
        message: error.to_string(),
        detail: error.excerpt().map(str::to_owned),
    };
    Ending::with_remedy(step_error, error.remedy())
}

/// Time and log of an attempt.
struct AttemptPace<'a, 'b>(&'a Attempt<'b>);

impl Pace for AttemptPace<'_, '_> {
    fn now(&self) -> Timestamp {
        self.0.seams.clock.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.seams.clock.sleep(duration)
    }

    fn say(&self, line: &str) {
        self.0.say(&[line.to_owned()]);
    }
}

fn metadata(outcome: &HttpOutcome) -> Metadata {
    let whole = |number: u64| MetadataValue::int(i64::try_from(number).unwrap_or(i64::MAX));
    let seconds = json!(outcome.took.as_secs_f64());
    BTreeMap::from([
        ("http_status".to_owned(), whole(outcome.status.into())),
        ("http_pages".to_owned(), whole(outcome.pages.into())),
        ("http_requests".to_owned(), whole(outcome.requests)),
        ("http_bytes".to_owned(), whole(outcome.bytes)),
        ("http_seconds".to_owned(), MetadataValue { kind: MetadataKind::Float, value: seconds }),
    ])
}

/// The call with every template resolved and every secret in its place.
fn call(
    attempt: &Attempt<'_>,
    step: &HttpStep,
    templates: &Templates<'_>,
    scratch: &Scratch,
) -> Result<HttpCall, Ending> {
    let resource = resource(attempt, step)?;
    let mut filling =
        Filling { attempt, templates: attempt.setting_templates(), mask: Mask::default() };
    let mut query = filling.texts(&resource.query)?;
    let mut headers = filling.texts(&resource.headers)?;
    let auth = resource.auth.as_ref().map(|auth| filling.auth(auth)).transpose()?;
    let base_url = filling.setting(&resource.base_url)?;
    let mask = filling.mask;
    query.extend(rendered(templates, &step.request.query)?);
    headers.extend(rendered(templates, &step.request.headers)?);
    Ok(HttpCall {
        base_url,
        method: step.request.method,
        path: templates.render_path(&step.request.path).map_err(Ending::ForGood)?,
        query: query.into_iter().collect(),
        headers: headers.into_iter().collect(),
        body: body(templates, &step.request.body)?,
        auth,
        mask,
        timeout: resource.timeout.unwrap_or(HttpResource::TIMEOUT).0,
        max_response: usize::try_from(step.max_response.0).unwrap_or(usize::MAX),
        retry_while: step.retry_while.clone(),
        paginate: step.paginate.clone(),
        rows: step.rows.clone().map(|pointer| (pointer, scratch.rows())),
    })
}

fn resource<'a>(attempt: &'a Attempt<'_>, step: &HttpStep) -> Result<&'a HttpResource, Ending> {
    let problem = match attempt.assignment.plan.resources.get(&step.resource) {
        Some(ResourceDef::Http(resource)) => return Ok(resource),
        Some(_) => "is no HTTP service; name one of kind `http`",
        None => "is not declared under `resources`",
    };
    let message = format!("resource `{}` {problem}", step.resource);
    Err(Ending::for_good(ErrorCode::StepResource, message))
}

fn rendered(
    templates: &Templates<'_>,
    texts: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Ending> {
    texts
        .iter()
        .map(|(name, text)| Ok((name.clone(), templates.render(text).map_err(Ending::ForGood)?)))
        .collect()
}

fn body(templates: &Templates<'_>, body: &HttpBody) -> Result<HttpBody, Ending> {
    Ok(match body {
        HttpBody::None => HttpBody::None,
        HttpBody::Json(json) => {
            HttpBody::Json(templates.render_json(json).map_err(Ending::ForGood)?)
        }
        HttpBody::Form(fields) => HttpBody::Form(rendered(templates, fields)?),
        HttpBody::Text(text) => HttpBody::Text(templates.render(text).map_err(Ending::ForGood)?),
    })
}

/// Puts secrets in their places and remembers them.
struct Filling<'a, 'b> {
    attempt: &'a Attempt<'b>,
    templates: &'a Templates<'a>,
    mask: Mask,
}

impl Filling<'_, '_> {
    fn render(&self, text: &str) -> Result<String, Ending> {
        self.templates.render(text).map_err(Ending::ForGood)
    }

    fn setting(&self, text: &str) -> Result<String, Ending> {
        self.templates.render_setting(text).map_err(Ending::ForGood)
    }

    fn secret(&mut self, reference: &SecretRef) -> Result<String, Ending> {
        let name = self.setting(&reference.secret)?;
        match self.attempt.worker.settings.secrets.get(&name) {
            Ok(value) => {
                self.mask.add(value);
                Ok(value.to_owned())
            }
            Err(variable) => {
                let message = format!("no secret is called `{name}`; set {variable}");
                Err(Ending::for_good(ErrorCode::SecretUnknown, message))
            }
        }
    }

    fn texts(
        &mut self,
        texts: &BTreeMap<String, TextOrSecret>,
    ) -> Result<BTreeMap<String, String>, Ending> {
        let mut filled = BTreeMap::new();
        for (name, text) in texts {
            let value = match text {
                TextOrSecret::Text(text) => self.render(text)?,
                TextOrSecret::Secret(reference) => self.secret(reference)?,
            };
            filled.insert(name.clone(), value);
        }
        Ok(filled)
    }

    fn auth(&mut self, auth: &HttpAuth) -> Result<Authorization, Ending> {
        Ok(match auth {
            HttpAuth::Bearer(token) => Authorization::Bearer(self.secret(token)?),
            HttpAuth::Basic { user, password } => {
                Authorization::Basic { user: self.setting(user)?, password: self.secret(password)? }
            }
            HttpAuth::Jwt { secret, claims, ttl } => {
                let claims = serde_json::Value::Object(claims.clone());
                let claims = self.templates.render_json(&claims).map_err(Ending::ForGood)?;
                Authorization::Jwt {
                    key: self.secret(secret)?,
                    claims: claims.as_object().cloned().unwrap_or_default(),
                    ttl: ttl.0,
                }
            }
        })
    }
}
