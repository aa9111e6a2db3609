//! What an answer says when a request fails, and the one place that gives it a status.
//!
//! Handlers return a [`Problem`]; [`finish`](crate::finish) turns it into JSON for programs and
//! into a page for people, with the request's id. A handler never picks a status.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use millstream_blob::BlobError;
use millstream_control::{ControlError, ReportError};
use millstream_model::{Diagnostic, ErrorCode, TenantId, TickKind, chain};

/// Why a request failed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem {
    /// The status of the answer.
    pub(crate) status: StatusCode,
    /// The code, whose page explains it.
    pub(crate) code: ErrorCode,
    /// What happened, in one sentence.
    pub(crate) message: String,
    /// What is wrong with which part of what was sent.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// What was asked for under the name that it had before.
    pub(crate) renamed: Option<Renamed>,
}

/// Something that has another name now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Renamed {
    /// Its tenant.
    pub(crate) tenant: TenantId,
    /// Whether it is a schedule or a sensor.
    pub(crate) kind: TickKind,
    /// The name that it has.
    pub(crate) name: String,
}

impl Problem {
    /// The problem that `code` names, with the status that belongs to it.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let (status, message) = (status_of(code), message.into());
        Self { status, code, message, diagnostics: Vec::new(), renamed: None }
    }

    /// Nothing here, or nothing that this caller may see.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    /// The request is not what the route takes.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }

    /// The same with a status that says more than its code does.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// What an answer without a problem of its own amounts to.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let (code, message) = match status {
            StatusCode::NOT_FOUND => (ErrorCode::NotFound, "there is nothing at this address"),
            StatusCode::METHOD_NOT_ALLOWED => {
                (ErrorCode::BadRequest, "this address does not take this method")
            }
            StatusCode::PAYLOAD_TOO_LARGE => {
                (ErrorCode::BadRequest, "the request's body is larger than this address takes")
            }
            status if status.is_client_error() => {
                (ErrorCode::BadRequest, "the request is not what this address takes")
            }
            _ => (ErrorCode::Internal, "this request failed; the server's log has its id"),
        };
        Self { status, ..Self::new(code, message) }
    }
}

/// The status that belongs to a code.
fn status_of(code: ErrorCode) -> StatusCode {
    use ErrorCode as C;
    match code {
        C::NotFound
        | C::JobUnknown
        | C::ScheduleUnknown
        | C::SensorUnknown
        | C::AssetUnknown
        | C::PartitionUnknown
        | C::TenantUnknown
        | C::RunUnknown
        | C::DefinitionVersionUnknown => StatusCode::NOT_FOUND,
        C::Forbidden | C::HostRefused | C::CrossOrigin => StatusCode::FORBIDDEN,
        C::DeliveryRefused => StatusCode::UNAUTHORIZED,
        C::DeliveryFull => StatusCode::TOO_MANY_REQUESTS,
        C::BadRequest | C::ContextJson | C::SelectionSyntax => StatusCode::BAD_REQUEST,
        C::RunStatus
        | C::ReportKeyKnown
        | C::EpochStale
        | C::JobDisabled
        | C::TenantDisabled
        | C::ScanDisabled => StatusCode::CONFLICT,
        C::DatabaseUnavailable | C::DatabaseTls | C::DatabaseOwned | C::DatabaseSchema => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        C::Internal | C::DatabaseValue => StatusCode::INTERNAL_SERVER_ERROR,
        // What is left speaks of definitions, plans and steps: understood, and cannot be done.
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        let problem = Self::new(error.code(), chain(&error));
        match error {
            ControlError::Renamed { tenant, kind, now: name, .. } => {
                Self { renamed: Some(Renamed { tenant, kind, name }), ..problem }
            }
            _ => problem,
        }
    }
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Self {
        Self::new(error.code(), chain(&error))
    }
}

impl From<BlobError> for Problem {
    fn from(error: BlobError) -> Self {
        Self::new(ErrorCode::Internal, chain(&error))
    }
}
