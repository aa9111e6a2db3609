//! Requests and answers.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::OutboundError;

/// How long a request may take, and how large its answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until the connection stands.
    pub connect: Duration,
    /// Until the answer is complete.
    pub total: Duration,
    /// The largest answer in bytes, unpacked.
    pub answer_max: usize,
}

/// What is done to the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Read it.
    Get,
    /// Send it something.
    Post,
    /// Replace it.
    Put,
    /// Change it in part.
    Patch,
    /// Remove it.
    Delete,
}

impl Method {
    /// Whether doing it twice is the same as doing it once.
    pub fn is_idempotent(self) -> bool {
        matches!(self, Self::Get | Self::Put | Self::Delete)
    }

    /// The method as the protocol writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    pub(crate) fn http(self) -> reqwest::Method {
        match self {
            Self::Get => reqwest::Method::GET,
            Self::Post => reqwest::Method::POST,
            Self::Put => reqwest::Method::PUT,
            Self::Patch => reqwest::Method::PATCH,
            Self::Delete => reqwest::Method::DELETE,
        }
    }
}

/// One request.
#[derive(Clone)]
pub struct Request<'a> {
    /// What to do.
    pub method: Method,
    /// Where.
    pub url: &'a str,
    /// Further headers; their values may be secrets.
    pub headers: &'a [(&'a str, String)],
    /// What is sent.
    pub body: Option<Body>,
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| *name).collect();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &shown_url(self.url))
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

/// What a request sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Its media type.
    pub content_type: &'static str,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Body {
    /// JSON.
    pub fn json(bytes: Vec<u8>) -> Self {
        Self { content_type: "application/json", bytes }
    }

    /// The fields of a form.
    pub fn form(fields: &BTreeMap<String, String>) -> Self {
        let mut url = reqwest::Url::from_directory_path("/").ok();
        let encoded = url.as_mut().map(|url| {
            url.query_pairs_mut().extend_pairs(fields);
            url.query().unwrap_or_default().as_bytes().to_vec()
        });
        let bytes = encoded.unwrap_or_default();
        Self { content_type: "application/x-www-form-urlencoded", bytes }
    }

    /// Text.
    pub fn text(text: &str) -> Self {
        Self { content_type: "text/plain; charset=utf-8", bytes: text.as_bytes().to_vec() }
    }
}

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Where it came from in the end, redirects followed.
    pub url: String,
    /// The headers that are text, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header called `name`, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// `url` without what may be secret: credentials, query and fragment.
pub fn shown_url(url: &str) -> String {
    let Ok(mut parsed) = url.parse::<reqwest::Url>() else {
        return "an address that is none".to_owned();
    };
    parsed.set_query(None);
    parsed.set_fragment(None);
    if parsed.set_username("").and(parsed.set_password(None)).is_err() {
        return format!("an address of the kind `{}:`", parsed.scheme());
    }
    parsed.to_string()
}

/// `headers` in the client's form.
pub(crate) fn header_map(
    url: &str,
    headers: &[(&str, String)],
) -> Result<HeaderMap, OutboundError> {
    let mut map = HeaderMap::new();
    for (name, text) in headers {
        // The text may be a secret, so the problem names the header alone.
        let mut value = HeaderValue::from_str(text).map_err(|_| OutboundError::Invalid {
            url: shown_url(url),
            problem: format!("the header {name:?} has characters that headers cannot have"),
        })?;
        value.set_sensitive(true);
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| OutboundError::Invalid {
            url: shown_url(url),
            problem: format!("{name:?} is not the name of a header"),
        })?;
        map.insert(name, value);
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_address_has_neither_credentials_nor_query() {
        let shown = shown_url("https://ana:pw@api.example:8443/v1/load?key=s3cret#s3cret");
        assert_eq!(shown, "https://api.example:8443/v1/load");
        assert_eq!(shown_url("data:s3cret"), "an address of the kind `data:`");
        assert_eq!(shown_url("s3cret"), "an address that is none");
    }
}
