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
    /// Its share of the places in the queue, against the other tenants' weights.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: u32,
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
            weight: 1,
            labels: BTreeMap::new(),
        }
    }
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_one(weight: &u32) -> bool {
    *weight == 1
}
