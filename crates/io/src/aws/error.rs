//! Why a function gave no result.

use std::time::Duration;

use millstream_model::{ErrorCode, chain};
use millstream_outbound::{AwsError, OutboundError};

use crate::Remedy;

/// An invocation came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum LambdaError {
    /// There is no answer, or the request may not be sent.
    #[error("{}", chain(.0))]
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

    /// What there is to do about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Aws(_)
            | Self::Outbound(OutboundError::Invalid { .. })
            | Self::Status { is_for_good: true, .. } => Remedy::Mend,
            Self::RateLimit { retry_after: Some(wait) } => Remedy::RetryAfter(*wait),
            _ => Remedy::Retry,
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
