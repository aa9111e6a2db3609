//! HTTP resources and steps, and the references to secrets that resources may hold.
//!
//! A secret stands here by its name alone, so that plans, versions and pages can be stored and
//! shown; the worker looks its value up when a step starts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Backoff, ByteSize, HumanDuration, ResourceName};

/// The name of a secret, written `{ secret: cube_token }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    /// The name, a template over `env` and `tenant`.
    pub secret: String,
}

/// A text as it stands, or a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TextOrSecret {
    /// A secret's name.
    Secret(SecretRef),
    /// The text, a template over `env` and `tenant`.
    Text(String),
}

/// An HTTP service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpResource {
    /// What every address begins with: `https://host/prefix`.
    pub base_url: String,
    /// How requests say who sends them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<HttpAuth>,
    /// Headers of every request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, TextOrSecret>,
    /// Parameters of every request's query.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, TextOrSecret>,
    /// How long one request may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HumanDuration>,
}

impl HttpResource {
    /// How long one request may take when its resource does not say.
    pub const TIMEOUT: HumanDuration = HumanDuration::from_secs(60);
}

/// How requests say who sends them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpAuth {
    /// `Authorization: Bearer` and the secret.
    Bearer(SecretRef),
    /// `Authorization: Basic` with a name and a password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: SecretRef,
    },
    /// `Authorization: Bearer` with a token signed for each attempt (JWT, HS256).
    Jwt {
        /// The key that signs it.
        secret: SecretRef,
        /// What it claims; `iat` and `exp` are added.
        #[serde(default)]
        claims: serde_json::Map<String, serde_json::Value>,
        /// How long it is valid.
        #[serde(default = "HttpAuth::default_ttl")]
        ttl: HumanDuration,
    },
}

impl HttpAuth {
    /// The kinds' names as definition files write them.
    pub const KINDS: &[&str] = &["bearer", "basic", "jwt"];

    /// How long a signed token is valid when nothing is said.
    pub const fn default_ttl() -> HumanDuration {
        HumanDuration::from_secs(300)
    }
}

/// A request to an HTTP service, and what its answer means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpStep {
    /// The service: a resource of kind `http`.
    pub resource: ResourceName,
    /// What is asked.
    pub request: HttpRequest,
    /// When the same is asked again because the answer is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_while: Option<RetryWhile>,
    /// How further pages are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paginate: Option<Paginate>,
    /// Where the rows are in the answer, as a JSON pointer; without it the body is the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<String>,
    /// The largest answer.
    #[serde(default = "HttpStep::default_max_response")]
    pub max_response: ByteSize,
}

impl HttpStep {
    /// The largest answer when nothing is said.
    pub const fn default_max_response() -> ByteSize {
        ByteSize(16 << 20)
    }

    /// The largest answer that can be allowed: one is held in memory as a whole.
    pub const MAX_RESPONSE: ByteSize = ByteSize(256 << 20);
}

/// What is asked of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// The method.
    #[serde(default)]
    pub method: HttpMethod,
    /// What follows the resource's `base_url`.
    #[serde(default)]
    pub path: String,
    /// Parameters of the query.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, String>,
    /// Headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What is sent.
    #[serde(flatten)]
    pub body: HttpBody,
}

/// What a request sends.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpBody {
    /// A JSON value.
    Json(serde_json::Value),
    /// The fields of a form.
    Form(BTreeMap<String, String>),
    /// Text as it is.
    Text(String),
    /// Nothing.
    #[default]
    #[serde(rename = "no_body")]
    None,
}

/// The methods of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// Read.
    #[default]
    Get,
    /// Send.
    Post,
    /// Replace.
    Put,
    /// Change in part.
    Patch,
    /// Remove.
    Delete,
}

impl HttpMethod {
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
}

/// The answer that means "not ready yet", and how the waiting goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetryWhile {
    /// The status it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What its JSON holds; further keys of its objects do not matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<serde_json::Value>,
    /// The wait before the same is asked again.
    #[serde(default = "RetryWhile::default_every")]
    pub every: HumanDuration,
    /// How the wait grows, up to a minute.
    #[serde(default)]
    pub backoff: Backoff,
    /// How long the answer may be "not ready yet"; the step's timeout ends it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_time: Option<HumanDuration>,
}

impl RetryWhile {
    /// The wait when nothing is said.
    pub const fn default_every() -> HumanDuration {
        HumanDuration::from_secs(1)
    }
}

/// How further pages are asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Paginate {
    /// Where the next page is said to be.
    pub by: PageBy,
    /// The most pages; more are an error.
    #[serde(default = "Paginate::default_max_pages")]
    pub max_pages: u32,
}

impl Paginate {
    /// The most pages when nothing is said.
    pub const fn default_max_pages() -> u32 {
        1_000
    }
}

/// Where the next page is said to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageBy {
    /// Pages have numbers; an empty page, or one with fewer rows than `size`, is the last.
    Page {
        /// The parameter of the query that holds the number.
        param: String,
        /// The first number.
        start: u32,
        /// How many rows a full page has.
        size: Option<u32>,
        /// The parameter of the query that holds the size.
        size_param: Option<String>,
    },
    /// Each answer names the next one.
    Cursor {
        /// Where the name is in the answer, as a JSON pointer; without one the page is the last.
        next: String,
        /// Where the next request holds it.
        into: CursorPlace,
    },
    /// Each answer has a `Link` header with the address of the next one.
    Link,
}

/// Where a request holds the cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CursorPlace {
    /// In a parameter of the query.
    Param(String),
    /// In the JSON body, at this pointer.
    Body(String),
}
