//! What a request says of who sends it.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use millstream_model::Timestamp;
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::HttpError;

/// What stands in the `Authorization` header.
#[derive(Clone)]
pub enum Authorization {
    /// A token.
    Bearer(String),
    /// A name and a password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token signed with HMAC and SHA-256 when a request is sent.
    Jwt {
        /// The key.
        key: String,
        /// What it claims, beside `iat` and `exp`.
        claims: Map<String, Value>,
        /// How long it is valid.
        ttl: Duration,
    },
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bearer(_) => "Bearer",
            Self::Basic { .. } => "Basic",
            Self::Jwt { .. } => "Jwt",
        })
    }
}

impl Authorization {
    /// The scheme and the credentials of the header's value at `now`.
    pub(super) fn credentials(&self, now: Timestamp) -> Result<(&'static str, String), HttpError> {
        match self {
            Self::Bearer(token) => Ok(("Bearer", token.clone())),
            Self::Basic { user, password } => {
                Ok(("Basic", BASE64_STANDARD.encode(format!("{user}:{password}"))))
            }
            Self::Jwt { key, claims, ttl } => Ok(("Bearer", signed(key, claims, *ttl, now)?)),
        }
    }
}

fn signed(
    key: &str,
    claims: &Map<String, Value>,
    ttl: Duration,
    now: Timestamp,
) -> Result<String, HttpError> {
    let mut claims = claims.clone();
    let seconds = now.as_micros().div_euclid(1_000_000);
    let ttl = i64::try_from(ttl.as_secs().max(1)).unwrap_or(i64::MAX);
    claims.entry("iat").or_insert_with(|| json!(seconds));
    claims.insert("exp".to_owned(), json!(seconds.saturating_add(ttl)));
    let encoded = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let content = format!(
        "{}.{}",
        encoded(json!({ "alg": "HS256", "typ": "JWT" })),
        encoded(Value::Object(claims))
    );
    // HMAC takes keys of every length, so this does not happen.
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.as_bytes()).map_err(|_| HttpError::SigningKey)?;
    mac.update(content.as_bytes());
    let signature = BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    Ok(format!("{content}.{signature}"))
}
