//! Why a function gave no result.

use std::time::Duration;

use millstream_model::ErrorCode;
use millstream_outbound::{AwsError, OutboundError};

/// An invocation came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum LambdaError {
    /// There is no answer, or the request may not be sent.
    #[error("{}", .0.chain())]
    Outbound(OutboundError),
    /// The request cannot be signed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// More is asked of AWS than the account may.
    #[error("AWS Lambda rate limit exceeded")]
    RateLimit {
        /// How long to wait before the next request, as the answer says.
        retry_after: Option<Duration>,
    },
    /// AWS, or the function in its answer, names a status that is no success.
    #[error("Lambda invocation failed: HTTP {status}{}", reason(said))]
    Status {
        /// The status.
        status: u64,
        /// What is said about it; nothing when that is empty.
        said: String,
        /// Whether the same request would fail again.
        is_for_good: bool,
    },
    /// The function raised an error.
    #[error("Lambda function error ({kind}): {message}")]
    Function {
        /// The error's type.
        kind: String,
        /// Its message.
        message: String,
        /// Where it was raised.
        trace: Option<String>,
    },
    /// The answer is no JSON.
    #[error("the function's answer is no JSON ({problem})")]
    NotJson {
        /// Where it is none.
        problem: String,
    },
}

fn reason(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(" ({said})") }
}

impl LambdaError {
    /// The code for the user.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Aws(AwsError::NoCredentials) => ErrorCode::AwsCredentials,
            _ => ErrorCode::StepLambda,
        }
    }

    /// Whether only another definition or setting mends it.
    pub fn is_for_good(&self) -> bool {
        match self {
            Self::Aws(_) | Self::Outbound(OutboundError::Invalid { .. }) => true,
            Self::Status { is_for_good, .. } => *is_for_good,
            _ => false,
        }
    }

    /// How long the next attempt is to wait at least.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimit { retry_after } => *retry_after,
            _ => None,
        }
    }

    /// What there is to read beside the message.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Function { trace, .. } => trace.as_deref(),
            _ => None,
        }
    }
}
