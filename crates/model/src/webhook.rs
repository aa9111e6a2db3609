//! Webhooks: who may post to a sensor's address, and what a delivery is called.

use serde::{Deserialize, Serialize};

use crate::SecretRef;

/// The longest body of a delivery in bytes.
pub const DELIVERY_MAX: usize = 1 << 20;

/// The longest id of a delivery in bytes.
pub const DELIVERY_ID_MAX: usize = 200;

/// The header with a delivery's id where a definition names none; the one of Standard Webhooks.
pub const DELIVERY_ID: &str = "webhook-id";

/// What is posted to an address of the sensor's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// What a delivery proves that its sender knows.
    pub auth: WebhookAuth,
    /// The header that names a delivery, so that one that is sent again is known; one without it is
    /// refused. When absent, [`DELIVERY_ID`] is looked at and may be missing.
    #[serde(default)]
    pub delivery_id: Option<String>,
}

/// What a delivery proves that its sender knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookAuth {
    /// A header holds the HMAC-SHA256 of the body under a secret, in hex or Base64, with or without
    /// `sha256=` before it.
    Hmac {
        /// The secret.
        secret: SecretRef,
        /// The header.
        header: String,
    },
    /// A header holds the secret itself.
    Bearer {
        /// The secret.
        secret: SecretRef,
        /// The header; `Authorization`, with `Bearer` before the secret, when absent.
        #[serde(default)]
        header: Option<String>,
    },
}

impl WebhookAuth {
    /// The words of the kinds in definition files.
    pub const KINDS: &'static [&'static str] = &["hmac", "bearer"];

    /// The header of signatures where a definition names none; GitHub's.
    pub const HMAC_HEADER: &'static str = "X-Hub-Signature-256";

    /// The secret.
    pub fn secret(&self) -> &SecretRef {
        match self {
            Self::Hmac { secret, .. } | Self::Bearer { secret, .. } => secret,
        }
    }

    /// The header that proves it, in small letters.
    pub fn header(&self) -> String {
        match self {
            Self::Hmac { header, .. } | Self::Bearer { header: Some(header), .. } => {
                header.to_ascii_lowercase()
            }
            Self::Bearer { header: None, .. } => "authorization".to_owned(),
        }
    }
}
