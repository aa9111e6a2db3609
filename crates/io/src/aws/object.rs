//! Objects in S3, written whole.

use std::time::{Duration, SystemTime};

use millstream_model::chain;
use millstream_outbound::{
    Aws, AwsError, AwsService, Body, Client, Method, OutboundError, Request, encoded,
};
use serde_json::Value;

use crate::Remedy;

/// How long one object may take.
const TIMEOUT: Duration = Duration::from_mins(1);

/// The largest answer to a write.
const ANSWER_MAX: usize = 64 * 1024;

/// The longest key that S3 takes.
const KEY_MAX: usize = 1024;

/// How much of a refusal is shown.
const SAID_MAX: usize = 300;

/// An object as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// Where it is, as `s3://bucket/key`.
    pub location: String,
    /// Its key.
    pub key: String,
    /// How large it is.
    pub bytes: u64,
}

/// An object was not written.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// There is no answer, or the request may not be sent.
    #[error("{}", chain(.0))]
    Outbound(OutboundError),
    /// The request cannot be signed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The key is none.
    #[error("{key:?} is no key of an object; it has 1 to {KEY_MAX} bytes and no part `..`")]
    Key {
        /// The key.
        key: String,
    },
    /// The store refuses the object.
    #[error("{location} answered HTTP {status}: {said}")]
    Refused {
        /// The object.
        location: String,
        /// The status.
        status: u16,
        /// What it says.
        said: String,
    },
}

impl ObjectError {
    /// What there is to do about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Outbound(OutboundError::Invalid { .. }) | Self::Aws(_) | Self::Key { .. } => {
                Remedy::Mend
            }
            Self::Refused { status: 429, .. } | Self::Outbound(_) => Remedy::Retry,
            Self::Refused { status: 400..=499, .. } => Remedy::Mend,
            Self::Refused { .. } => Remedy::Retry,
        }
    }
}

/// Writes `value` as JSON to an object, over what is there.
pub async fn put_object(
    client: &Client,
    aws: &Aws,
    (bucket, key): (&str, &str),
    value: &Value,
    now: SystemTime,
) -> Result<StoredObject, ObjectError> {
    // A dot alone is no name in an address: it would lead to another object.
    let has_dots = key.split('/').any(|part| matches!(part, "." | ".."));
    if key.is_empty() || key.len() > KEY_MAX || has_dots {
        return Err(ObjectError::Key { key: key.to_owned() });
    }
    let endpoint = aws.endpoint(AwsService::S3);
    let url = format!("{endpoint}/{}/{}", encoded(bucket, ""), encoded(key, "/"));
    let body = Body::json(value.to_string().into_bytes());
    let bytes = body.bytes.len() as u64;
    let headers = aws.signed(AwsService::S3, (Method::Put, &url), &body.bytes, now)?;
    let request = Request { method: Method::Put, url: &url, headers: &headers, body: Some(body) };
    let answer = client.within(TIMEOUT, ANSWER_MAX).send(request).await;
    let answer = answer.map_err(ObjectError::Outbound)?;
    let location = format!("s3://{bucket}/{key}");
    if !(200..300).contains(&answer.status) {
        let said = String::from_utf8_lossy(&answer.body).chars().take(SAID_MAX).collect();
        return Err(ObjectError::Refused { location, status: answer.status, said });
    }
    Ok(StoredObject { location, key: key.to_owned(), bytes })
}
