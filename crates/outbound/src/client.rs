//! Requests with bounds on time and size.

use std::path::Path;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;

/// How long a request may take, and how large its answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until the connection stands.
    pub connect: Duration,
    /// Until the answer is complete.
    pub total: Duration,
    /// The largest answer in bytes.
    pub answer_max: usize,
}

/// What is done to the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Read it.
    Get,
    /// Send it something.
    Post,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// What to do.
    pub method: Method,
    /// Where.
    pub url: &'a str,
    /// Further headers.
    pub headers: &'a [(&'static str, String)],
    /// A JSON body.
    pub json: Option<Vec<u8>>,
}

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

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
    /// Nobody answered, or not in time. Sending again later may help.
    #[error("{url} did not answer")]
    NoAnswer {
        /// Where it went.
        url: String,
        /// What was seen.
        #[source]
        source: reqwest::Error,
    },
    /// The answer is larger than the caller allows.
    #[error("the answer of {url} is over the limit of {limit} bytes")]
    TooLarge {
        /// Where it came from.
        url: String,
        /// The limit.
        limit: usize,
    },
    /// The client could not be made.
    #[error("the HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
}

/// An HTTP client; clones share its connections.
#[derive(Debug, Clone)]
pub struct Client {
    inner: reqwest::Client,
    limits: Limits,
}

impl Client {
    /// A client within `limits` that talks to the address itself, past any proxy.
    pub fn direct(limits: Limits) -> Result<Self, OutboundError> {
        Self::build(reqwest::Client::builder(), limits)
    }

    /// A client within `limits` whose every request goes to the socket at `path` on this machine,
    /// whatever host its address names.
    pub fn over_socket(path: &Path, limits: Limits) -> Result<Self, OutboundError> {
        Self::build(reqwest::Client::builder().unix_socket(path.to_owned()), limits)
    }

    fn build(builder: reqwest::ClientBuilder, limits: Limits) -> Result<Self, OutboundError> {
        let inner = builder
            .connect_timeout(limits.connect)
            .timeout(limits.total)
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .map_err(OutboundError::Client)?;
        Ok(Self { inner, limits })
    }

    /// Sends `request` and waits for the whole answer.
    pub async fn send(&self, request: Request<'_>) -> Result<Answer, OutboundError> {
        let Request { method, url, headers, json } = request;
        let builder = match method {
            Method::Get => self.inner.get(url),
            Method::Post => self.inner.post(url),
        };
        let mut builder = builder.headers(header_map(url, headers)?);
        if let Some(json) = json {
            builder = builder.header(CONTENT_TYPE, "application/json").body(json);
        }
        let failed = |source: reqwest::Error| {
            if source.is_builder() {
                let problem = source.to_string();
                return OutboundError::Invalid { url: url.to_owned(), problem };
            }
            // The address is named once; the source would name it again.
            OutboundError::NoAnswer { url: url.to_owned(), source: source.without_url() }
        };
        let mut response = builder.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > self.limits.answer_max {
                let limit = self.limits.answer_max;
                return Err(OutboundError::TooLarge { url: url.to_owned(), limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
    }
}

fn header_map(url: &str, headers: &[(&'static str, String)]) -> Result<HeaderMap, OutboundError> {
    let mut map = HeaderMap::new();
    for (name, text) in headers {
        // The text may be a secret, so the problem names the header alone.
        let mut value = HeaderValue::from_str(text).map_err(|_| OutboundError::Invalid {
            url: url.to_owned(),
            problem: format!("the header {name:?} has characters that headers cannot have"),
        })?;
        value.set_sensitive(true);
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| OutboundError::Invalid {
            url: url.to_owned(),
            problem: format!("{name:?} is not the name of a header"),
        })?;
        map.insert(name, value);
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    fn client() -> Client {
        let second = Duration::from_secs(5);
        Client::direct(Limits { connect: second, total: second, answer_max: 16 }).unwrap()
    }

    /// Answers one request with `answer` and returns the address to ask.
    fn serve(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 1024];
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        format!("http://{address}/")
    }

    async fn get(url: &str) -> Result<Answer, OutboundError> {
        client().send(Request { method: Method::Get, url, headers: &[], json: None }).await
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_not_followed() {
        let url = serve(
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        );
        assert_eq!(get(&url).await.unwrap().status, 302);
    }

    #[tokio::test]
    async fn an_answer_over_the_limit_is_cut_off() {
        let url = serve("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n01234567890123456789");
        assert!(matches!(get(&url).await, Err(OutboundError::TooLarge { limit: 16, .. })));
    }

    #[tokio::test]
    async fn an_address_where_nobody_listens_gives_no_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        assert!(matches!(get(&url).await, Err(OutboundError::NoAnswer { .. })));
    }
}
