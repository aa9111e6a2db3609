//! The way of a guarded request: judged addresses, redirects, and second tries.
//!
//! **Invariant.** What an answer from the internet points to is on the internet too, even where
//! the first address could have been private: the allow list is for definitions, not for strangers.
//! **Invariant.** Another origin gets no header of the request's but those that describe its body.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::Url;

use crate::OutboundError;
use crate::address::{Place, place};
use crate::allow::{AllowList, Refusal};
use crate::client::{Received, built, exchange};
use crate::names::{GuardedNames, Names};
use crate::request::{Answer, Limits, Method, Request, shown_url};

/// The most redirects of one request.
const HOPS_MAX: u32 = 5;

/// The waits before further tries of a request that may be sent twice.
const TRY_AGAIN: &[Duration] = &[Duration::from_millis(200), Duration::from_secs(1)];

/// What a guarded client may reach.
#[derive(Debug)]
pub(crate) struct Guard {
    allow: AllowList,
    names: Arc<GuardedNames>,
    /// The client for what strangers point to, made when the first one does.
    strangers: OnceLock<reqwest::Client>,
}

impl Guard {
    pub(crate) fn new(allow: AllowList, names: Arc<dyn Names>) -> Self {
        let guarded = GuardedNames { names, allow: allow.clone() };
        Self { allow, names: Arc::new(guarded), strangers: OnceLock::new() }
    }

    /// A client that reaches what is allowed.
    pub(crate) fn client(&self, connect: Duration) -> Result<reqwest::Client, OutboundError> {
        built(reqwest::Client::builder().dns_resolver(Arc::clone(&self.names)), connect)
    }

    fn strangers(&self, connect: Duration) -> Result<&reqwest::Client, OutboundError> {
        if let Some(client) = self.strangers.get() {
            return Ok(client);
        }
        let allow = AllowList::none();
        let names = GuardedNames { names: Arc::clone(&self.names.names), allow };
        let client = built(reqwest::Client::builder().dns_resolver(Arc::new(names)), connect)?;
        Ok(self.strangers.get_or_init(|| client))
    }
}

/// Sends `request` and follows where its answers lead; all of it within the time of one request.
pub(crate) async fn send(
    client: &reqwest::Client,
    guard: &Guard,
    request: Request<'_>,
    limits: Limits,
) -> Result<Answer, OutboundError> {
    let url = shown_url(request.url);
    match tokio::time::timeout(limits.total, follow(client, guard, request, limits)).await {
        Ok(result) => result,
        Err(_) => Err(OutboundError::TooSlow { url, limit: limits.total }),
    }
}

async fn follow(
    client: &reqwest::Client,
    guard: &Guard,
    request: Request<'_>,
    limits: Limits,
) -> Result<Answer, OutboundError> {
    let first = shown_url(request.url);
    let mut url = parsed(request.url)?;
    let mut hop = Hop { method: request.method, headers: request.headers, body: request.body };
    let mut from_internet = false;
    for _ in 0..=HOPS_MAX {
        let strangers = if from_internet { Some(guard.strangers(limits.connect)?) } else { None };
        let allow = if from_internet { &AllowList::none() } else { &guard.allow };
        judge_literal(&url, allow)?;
        let client = strangers.unwrap_or(client);
        let received = tried(client, &hop.request(url.as_str()), limits).await?;
        let Some(next) = target(&url, &received.answer)? else { return Ok(received.answer) };
        from_internet |= received.from.is_none_or(is_public);
        hop.turn(&url, &next, received.answer.status);
        url = next;
    }
    Err(OutboundError::Redirects { url: first, limit: HOPS_MAX })
}

fn is_public(address: IpAddr) -> bool {
    place(address) == Place::Public
}

/// What goes on from one address to the next.
struct Hop<'a> {
    method: Method,
    headers: &'a [(&'a str, String)],
    body: Option<crate::Body>,
}

impl Hop<'_> {
    fn request<'u>(&'u self, url: &'u str) -> Request<'u> {
        Request { method: self.method, url, headers: self.headers, body: self.body.clone() }
    }

    /// Leaves behind what `next` is not to see.
    fn turn(&mut self, from: &Url, next: &Url, status: u16) {
        if from.origin() != next.origin() {
            self.headers = &[];
        }
        let stays = matches!(status, 307 | 308) || self.method == Method::Get;
        if !stays {
            self.method = Method::Get;
            self.body = None;
        }
    }
}

/// Sends a request, and again where a second time does nothing that the first did not.
async fn tried(
    client: &reqwest::Client,
    request: &Request<'_>,
    limits: Limits,
) -> Result<Received, OutboundError> {
    let waits = if request.method.is_idempotent() { TRY_AGAIN } else { &[] };
    for wait in waits {
        let result = exchange(client, request, limits).await;
        let is_worth_it = match &result {
            // Whoever says when to come back is asked then, by the step's policy.
            Ok(received) => {
                matches!(received.answer.status, 502..=504)
                    && received.answer.header("retry-after").is_none()
            }
            Err(error) => matches!(error, OutboundError::NoAnswer { .. }),
        };
        if !is_worth_it {
            return result;
        }
        tokio::time::sleep(*wait).await;
    }
    exchange(client, request, limits).await
}

/// Where `answer` points, if it is a redirect.
fn target(from: &Url, answer: &Answer) -> Result<Option<Url>, OutboundError> {
    if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = answer.header("location") else { return Ok(None) };
    let shown = shown_url(from.as_str());
    let next = from.join(location).map_err(|error| OutboundError::Invalid {
        url: shown.clone(),
        problem: format!("it leads on to what is no address ({error})"),
    })?;
    let next = parsed(next.as_str())?;
    if from.scheme() == "https" && next.scheme() == "http" {
        let reason = format!("it leads on to {}, unencrypted", shown_url(next.as_str()));
        return Err(OutboundError::Refused { url: shown, reason });
    }
    Ok(Some(next))
}

/// `url` in its parts, if requests can go there.
fn parsed(url: &str) -> Result<Url, OutboundError> {
    let invalid = |problem: String| OutboundError::Invalid { url: shown_url(url), problem };
    let url: Url = url.parse().map_err(|error| invalid(format!("{error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid(format!("`{}:` is neither `http:` nor `https:`", url.scheme())));
    }
    Ok(url)
}

/// Judges an address that names its host by number, which no look-up sees.
fn judge_literal(url: &Url, allow: &AllowList) -> Result<(), OutboundError> {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let Ok(address) = bare.parse::<IpAddr>() else { return Ok(()) };
    allow.judge(host, address).map_err(|refusal| OutboundError::Refused {
        url: shown_url(url.as_str()),
        reason: with_way_out(format!("{address} {refusal}"), refusal),
    })
}

/// `problem` with what can be done about it.
pub(crate) fn with_way_out(problem: String, refusal: Refusal) -> String {
    match refusal.way_out() {
        Some(way_out) => format!("{problem}; {way_out}"),
        None => problem,
    }
}
