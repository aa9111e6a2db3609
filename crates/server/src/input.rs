//! Reading requests: axum's extractors with our own words for what they refuse. JSON is read by
//! [`Body`](crate::body::Body).

use axum::Form;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use millstream_model::partitions::KEY_MAX;
use millstream_model::{AssetKey, ErrorCode, JobName, PartitionKey, PartitionsName};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// The fields of a form.
pub(crate) struct Fields<T>(pub(crate) T);

/// The parameters behind the `?`.
pub(crate) struct Params<T>(pub(crate) T);

/// The named parts of the path.
pub(crate) struct Segments<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Fields<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Form::<T>::from_request(request, state).await {
            Ok(Form(value)) => Ok(Self(value)),
            Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(Problem::of_status(error.status()))
            }
            Err(error) => Err(Problem::bad_request(error.body_text())),
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        read.map(|Query(value)| Self(value)).map_err(|e| Problem::bad_request(e.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Path::<T>::from_request_parts(parts, state).await;
        read.map(|Path(value)| Self(value)).map_err(|e| Problem::not_found(e.body_text()))
    }
}

/// The run of a path: its id, or its last digits.
#[derive(Debug, Deserialize)]
pub(crate) struct RunPath {
    /// As it stands in the path.
    pub(crate) run: String,
}

/// What a path asks about: a run, an asset or a schedule.
#[derive(Debug, Deserialize)]
pub(crate) struct WhyPath {
    /// As it stands in the path.
    pub(crate) subject: String,
}

/// The asset of a path.
#[derive(Debug, Deserialize)]
pub(crate) struct AssetPath {
    /// As it stands in the path.
    pub(crate) asset: String,
}

/// The job of a path.
#[derive(Debug, Deserialize)]
pub(crate) struct JobPath {
    /// As it stands in the path.
    pub(crate) job: String,
}

/// The definition file of a path.
#[derive(Debug, Deserialize)]
pub(crate) struct FilePath {
    /// As it stands in the path.
    pub(crate) file: String,
}

/// The schedule of a path.
#[derive(Debug, Deserialize)]
pub(crate) struct SchedulePath {
    /// As it stands in the path.
    pub(crate) schedule: String,
}

/// The sensor of a path.
#[derive(Debug, Deserialize)]
pub(crate) struct SensorPath {
    /// As it stands in the path.
    pub(crate) sensor: String,
}

/// The job that a part of a path names.
pub(crate) fn job_name(text: &str) -> Result<JobName, Problem> {
    text.parse().map_err(|error| Problem::new(ErrorCode::JobUnknown, format!("{error}")))
}

/// The asset that a part of a path names.
pub(crate) fn asset_key(text: &str) -> Result<AssetKey, Problem> {
    text.parse().map_err(|error| Problem::new(ErrorCode::AssetUnknown, format!("{error}")))
}

/// The partitions that a part of a path names.
pub(crate) fn partitions_name(text: &str) -> Result<PartitionsName, Problem> {
    text.parse().map_err(|error| Problem::new(ErrorCode::PartitionUnknown, format!("{error}")))
}

/// The partition key that a form or a body names.
pub(crate) fn partition_key(text: &str) -> Result<PartitionKey, Problem> {
    text.parse().map_err(|error| {
        let message = match text {
            "" => "a partition key cannot be empty".to_owned(),
            _ => format!("{error}; a key has at most {KEY_MAX} bytes and no control characters"),
        };
        Problem::new(ErrorCode::PartitionKey, message)
    })
}
