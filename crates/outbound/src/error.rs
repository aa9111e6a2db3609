//! Why a request got no answer.
//!
//! **Invariant.** No variant shows the credentials, the query or the fragment of an address: keys
//! stand there often.

use std::time::Duration;

/// A request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The request cannot be sent as it is.
    #[error("the request to {url} is not valid: {problem}")]
    Invalid {
        /// Where it should have gone.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// The address may not be reached; only another setting or definition mends that.
    #[error("{url} is not reached: {reason}")]
    Refused {
        /// Where it should have gone.
        url: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// Nobody answered. Sending again later may help.
    #[error("{url} did not answer")]
    NoAnswer {
        /// Where it went.
        url: String,
        /// What was seen.
        #[source]
        source: reqwest::Error,
    },
    /// The answer was not complete in time. Sending again later may help.
    #[error("{url} did not answer completely within {} s", limit.as_secs_f64())]
    TooSlow {
        /// Where it went.
        url: String,
        /// The limit.
        limit: Duration,
    },
    /// The answer is larger than the caller allows.
    #[error("the answer of {url} is over the limit of {limit} bytes")]
    TooLarge {
        /// Where it came from.
        url: String,
        /// The limit.
        limit: usize,
    },
    /// The answers lead on and on.
    #[error("{url} leads on to other addresses more than {limit} times")]
    Redirects {
        /// Where the request went first.
        url: String,
        /// The limit.
        limit: u32,
    },
    /// The client could not be made.
    #[error("the HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
}

impl OutboundError {
    /// Whether nobody was there to send the request to, so that nothing was done.
    pub fn is_unsent(&self) -> bool {
        matches!(self, Self::NoAnswer { source, .. } if source.is_connect())
    }

    /// Whether the same request may be answered later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::NoAnswer { .. } | Self::TooSlow { .. })
    }
}
