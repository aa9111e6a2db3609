//! The client: one request, one answer, within bounds.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;

use crate::allow::{AllowList, Refusal};
use crate::follow::Guard;
use crate::names::{NameRefused, Names};
use crate::request::{Answer, Limits, Request, header_map, shown_url};
use crate::{OutboundError, follow};

/// An HTTP client; clones share its connections.
#[derive(Debug, Clone)]
pub struct Client {
    inner: reqwest::Client,
    limits: Limits,
    guard: Option<Arc<Guard>>,
}

/// An answer with the address that gave it.
pub(crate) struct Received {
    pub(crate) answer: Answer,
    pub(crate) from: Option<std::net::IpAddr>,
}

impl Client {
    /// A client within `limits` for an address that the operator chose: it goes anywhere, past any
    /// proxy, and follows no redirect, which could carry a token elsewhere.
    pub fn direct(limits: Limits) -> Result<Self, OutboundError> {
        let inner = built(reqwest::Client::builder(), limits.connect)?;
        Ok(Self { inner, limits, guard: None })
    }

    /// A client within `limits` whose every request goes to the socket at `path` on this machine,
    /// whatever host its address names.
    pub fn over_socket(path: &Path, limits: Limits) -> Result<Self, OutboundError> {
        // Nothing is encrypted on the way, and to read the certificates takes its time.
        let builder = reqwest::Client::builder().tls_built_in_root_certs(false);
        let inner = built(builder.unix_socket(path.to_owned()), limits.connect)?;
        Ok(Self { inner, limits, guard: None })
    }

    /// A client within `limits` for addresses that definitions and answers name: it reaches the
    /// internet and what `allow` says, follows redirects there, and tries again where nothing can
    /// happen twice.
    pub fn guarded(
        limits: Limits,
        allow: AllowList,
        names: Arc<dyn Names>,
    ) -> Result<Self, OutboundError> {
        let guard = Guard::new(allow, names);
        let inner = guard.client(limits.connect)?;
        Ok(Self { inner, limits, guard: Some(Arc::new(guard)) })
    }

    /// The same client with other limits; the time for a connection stays.
    #[must_use]
    pub fn within(&self, total: Duration, answer_max: usize) -> Self {
        let limits = Limits { total, answer_max, ..self.limits };
        Self { limits, ..self.clone() }
    }

    /// Sends `request` and waits for the whole answer.
    pub fn send<'a>(
        &'a self,
        request: Request<'a>,
    ) -> BoxFuture<'a, Result<Answer, OutboundError>> {
        Box::pin(async move {
            match &self.guard {
                None => Ok(exchange(&self.inner, &request, self.limits).await?.answer),
                Some(guard) => follow::send(&self.inner, guard, request, self.limits).await,
            }
        })
    }
}

/// A client of `builder` that leaves redirects and proxies alone.
pub(crate) fn built(
    builder: reqwest::ClientBuilder,
    connect: Duration,
) -> Result<reqwest::Client, OutboundError> {
    builder
        .connect_timeout(connect)
        .redirect(Policy::none())
        .no_proxy()
        .build()
        .map_err(OutboundError::Client)
}

/// Sends `request` once.
pub(crate) async fn exchange(
    client: &reqwest::Client,
    request: &Request<'_>,
    limits: Limits,
) -> Result<Received, OutboundError> {
    let url = request.url;
    let mut builder = client
        .request(request.method.http(), url)
        .timeout(limits.total)
        .headers(header_map(url, request.headers)?);
    if let Some(body) = &request.body {
        builder = builder.header(CONTENT_TYPE, body.content_type).body(body.bytes.clone());
    }
    let failed = |source: reqwest::Error| failure(url, limits, source);
    let mut response = builder.send().await.map_err(failed)?;
    let mut answer = Answer {
        status: response.status().as_u16(),
        url: response.url().to_string(),
        headers: texts(response.headers()),
        body: Vec::new(),
    };
    let from = response.remote_addr().map(|address| address.ip());
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if answer.body.len() + chunk.len() > limits.answer_max {
            return Err(OutboundError::TooLarge { url: shown_url(url), limit: limits.answer_max });
        }
        answer.body.extend_from_slice(&chunk);
    }
    Ok(Received { answer, from })
}

fn texts(headers: &reqwest::header::HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect()
}

fn failure(url: &str, limits: Limits, source: reqwest::Error) -> OutboundError {
    let shown = shown_url(url);
    if source.is_builder() {
        return OutboundError::Invalid { url: shown, problem: source.without_url().to_string() };
    }
    if let Some(refused) = refusal(&source) {
        return OutboundError::Refused { url: shown, reason: with_way_out(refused) };
    }
    if source.is_timeout() && !source.is_connect() {
        return OutboundError::TooSlow { url: shown, limit: limits.total };
    }
    // The address is named once; the source would name it again, and with its query.
    OutboundError::NoAnswer { url: shown, source: source.without_url() }
}

/// The guard's word on the way to `error`.
fn refusal(error: &reqwest::Error) -> Option<&NameRefused> {
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        if let Some(refused) = error.downcast_ref() {
            return Some(refused);
        }
        next = error.source();
    }
    None
}

fn with_way_out(refused: &NameRefused) -> String {
    follow::with_way_out(refused.to_string(), refused.refusal)
}

impl Refusal {
    /// What an operator can do about it.
    pub(crate) fn way_out(self) -> Option<&'static str> {
        match self {
            Self::Private => Some("whoever runs the server allows it in MILLSTREAM_OUTBOUND_ALLOW"),
            Self::Never => None,
        }
    }
}
