//! Tenants as definitions declare them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A tenant with the fields of document 002.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TenantDef {
    /// A name for people; the id when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// Where its data is, as a URL; secrets in it are masked wherever it is shown.
    #[serde(default)]
    pub database_url: Option<String>,
    /// Its bucket.
    #[serde(default)]
    pub s3_bucket: Option<String>,
    /// The prefix of its objects.
    #[serde(default)]
    pub s3_prefix: Option<String>,
    /// Its schema in a shared database.
    #[serde(default)]
    pub schema_name: Option<String>,
    /// When its main pipeline runs, as a cron expression.
    #[serde(default)]
    pub schedule: Option<String>,
    /// Whether it takes part; a disabled tenant keeps its history.
    pub enabled: bool,
    /// Whatever else definitions want to say of it; templates see it as `tenant.<key>`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl Default for TenantDef {
    fn default() -> Self {
        Self {
            name: None,
            database_url: None,
            s3_bucket: None,
            s3_prefix: None,
            schema_name: None,
            schedule: None,
            enabled: true,
            labels: BTreeMap::new(),
        }
    }
}
