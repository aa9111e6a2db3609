//! What a step asks, ready to be sent.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::BoxFuture;
use millstream_model::{HttpBody, HttpMethod, Paginate, RetryWhile, Timestamp};

use super::{Authorization, Mask};

/// What a step asks of a service: templates are resolved, and secrets stand in their places.
#[derive(Debug, Clone)]
pub struct HttpCall {
    /// What the address begins with.
    pub base_url: String,
    /// The method.
    pub method: HttpMethod,
    /// What follows the address's beginning, values percent-encoded.
    pub path: String,
    /// Parameters of the query.
    pub query: Vec<(String, String)>,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: HttpBody,
    /// Who sends it.
    pub auth: Option<Authorization>,
    /// The secrets in all this.
    pub mask: Mask,
    /// How long one request may take.
    pub timeout: Duration,
    /// The largest answer in bytes.
    pub max_response: usize,
    /// When the same is asked again.
    pub retry_while: Option<RetryWhile>,
    /// How further pages are asked for.
    pub paginate: Option<Paginate>,
    /// Where the rows are in an answer, and the file that they go to.
    pub rows: Option<(String, PathBuf)>,
}

/// Time as a step sees it.
pub trait Pace: Send + Sync {
    /// The time of day.
    fn now(&self) -> Timestamp;

    /// Waits.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// Says what happens, for the step's log.
    fn say(&self, line: &str);
}
