//! Why a service's answers are not what a step needs.

use std::path::PathBuf;
use std::time::Duration;

use millstream_model::{ErrorCode, HumanDuration, chain};
use millstream_outbound::OutboundError;

use crate::Remedy;

/// A request of an HTTP step came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// There is no answer, or the request may not be sent.
    #[error("{}", chain(.0))]
    Outbound(OutboundError),
    /// The answer's status is no success.
    #[error("{request} answered {status}{}", patience(*retry_after))]
    Status {
        /// The method and the address.
        request: String,
        /// The status.
        status: u16,
        /// How long to wait before the next request, as the answer says.
        retry_after: Option<Duration>,
        /// The beginning of the answer, without secrets.
        excerpt: String,
    },
    /// The answer meant "not ready yet" for too long.
    #[error(
        "{request} was not ready after {}{}; `retry_while.max_time` ends here",
        HumanDuration(*waited),
        patience(*retry_after)
    )]
    NotReady {
        /// The method and the address.
        request: String,
        /// How long it was asked.
        waited: Duration,
        /// How long to wait before the next request, as the last answer says.
        retry_after: Option<Duration>,
    },
    /// The answer is no JSON.
    #[error("{request} answered with something that is no JSON ({problem})")]
    NotJson {
        /// The method and the address.
        request: String,
        /// Where it is none.
        problem: String,
        /// The beginning of the answer, without secrets.
        excerpt: String,
    },
    /// The answer is neither JSON nor text.
    #[error("{request} answered with bytes that are no text; a `command` step can keep them")]
    NotText {
        /// The method and the address.
        request: String,
    },
    /// The rows are not where they should be.
    #[error("{request} has no rows at {pointer:?}: {found}; `rows` points to a list of objects")]
    NoRows {
        /// The method and the address.
        request: String,
        /// The pointer.
        pointer: String,
        /// What is there, or where the way ends.
        found: String,
    },
    /// A row is no object.
    #[error("row {number} is {found}; a row is an object or a plain value")]
    Row {
        /// Which, from 1.
        number: u64,
        /// What it is.
        found: &'static str,
    },
    /// The rows have more columns than a table may.
    #[error("the rows have more than {limit} different keys; is there a pointer to deeper rows?")]
    TooManyColumns {
        /// The limit.
        limit: usize,
    },
    /// The rows are more than a step may return.
    #[error("the rows take more than {limit} bytes; ask for fewer, as with a partition")]
    TooManyRows {
        /// The limit.
        limit: u64,
    },
    /// The pages do not end.
    #[error("{request} has more than {limit} pages; raise `max_pages`, or ask for larger ones")]
    TooManyPages {
        /// The method and the address.
        request: String,
        /// The limit.
        limit: u32,
    },
    /// The next page is the same as this one.
    #[error("{request} names the same next page twice, so that its pages would never end")]
    SamePage {
        /// The method and the address.
        request: String,
    },
    /// The place of the cursor is not in the body.
    #[error("the cursor cannot be put at {pointer:?}: the request's `json` has no object there")]
    CursorPlace {
        /// The pointer.
        pointer: String,
    },
    /// The token cannot be signed with its key.
    #[error("the token cannot be signed with its key")]
    SigningKey,
    /// The rows cannot be written.
    #[error("rows cannot be written to {}: {source}", path.display())]
    RowsFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

fn patience(retry_after: Option<Duration>) -> String {
    match retry_after {
        Some(wait) => format!(" and asks to come back in {}", HumanDuration(wait)),
        None => String::new(),
    }
}

impl HttpError {
    /// The code for the user.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Outbound(OutboundError::Refused { .. }) => ErrorCode::AddressRefused,
            _ => ErrorCode::StepHttp,
        }
    }

    /// What there is to do about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Outbound(OutboundError::Refused { .. } | OutboundError::Invalid { .. })
            | Self::CursorPlace { .. } => Remedy::Mend,
            Self::Status { retry_after: Some(wait), .. }
            | Self::NotReady { retry_after: Some(wait), .. } => Remedy::RetryAfter(*wait),
            _ => Remedy::Retry,
        }
    }

    /// The beginning of the answer that it is about, without secrets.
    pub fn excerpt(&self) -> Option<&str> {
        match self {
            Self::Status { excerpt, .. } | Self::NotJson { excerpt, .. } => {
                Some(excerpt.as_str()).filter(|it| !it.is_empty())
            }
            _ => None,
        }
    }
}
