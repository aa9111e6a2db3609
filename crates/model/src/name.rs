//! The names of things: validated text, one type for each kind of thing.
//!
//! **Invariant.** The only way in is [`std::str::FromStr`] (serde goes through it too), so code
//! that holds a name never checks it again. Names become path parts, URL parts and SQL parameters.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a name of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {text:?} {problem}")]
pub struct NameError {
    /// What the text should have named.
    pub kind: &'static str,
    /// The rejected text.
    pub text: String,
    /// What is wrong and what to write instead.
    pub problem: String,
}

/// Longest name in bytes; longer ones would not fit a file name once suffixes are added.
const NAME_MAX: usize = 200;

fn check_slug(kind: &'static str, text: &str) -> Result<(), NameError> {
    let fail =
        |problem: &str| Err(NameError { kind, text: text.to_owned(), problem: problem.to_owned() });
    if text.is_empty() {
        return fail("is empty");
    }
    if text.len() > NAME_MAX {
        return fail("is longer than 200 bytes");
    }
    if text.starts_with(['-', '.']) {
        return fail("must start with a letter, a digit or `_`");
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))) {
        Some(c) => fail(&format!("has {c:?}; letters, digits, `_`, `-` and `.` are allowed")),
        None => Ok(()),
    }
}

fn check_path(kind: &'static str, text: &str) -> Result<(), NameError> {
    let fail = |problem: String| Err(NameError { kind, text: text.to_owned(), problem });
    if text.is_empty() {
        return fail("is empty".to_owned());
    }
    if text.len() > NAME_MAX {
        return fail("is longer than 200 bytes".to_owned());
    }
    for part in text.split('/') {
        if part.is_empty() || part == "." || part == ".." {
            return fail(format!("has the path part {part:?}; write it like `production/etl`"));
        }
    }
    match text.chars().find(|c| c.is_control() || matches!(c, '\\')) {
        Some(c) => fail(format!("has the character {c:?}")),
        None => Ok(()),
    }
}

fn check_text(kind: &'static str, text: &str) -> Result<(), NameError> {
    let fail = |problem: String| Err(NameError { kind, text: text.to_owned(), problem });
    if text.is_empty() {
        return fail("is empty".to_owned());
    }
    if text.len() > NAME_MAX {
        return fail("is longer than 200 bytes".to_owned());
    }
    match text.chars().find(|c| c.is_control()) {
        Some(c) => fail(format!("has the control character {c:?}")),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                $check($kind, text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                $check($kind, &text)?;
                Ok(Self(text))
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

/// Names that stand first in a URL path of ours and therefore name no tenant.
const RESERVED_TENANTS: &[&str] =
    &["api", "static", "health", "ready", "server_info", "metrics", "graphql", "worker", "login"];

fn check_tenant(kind: &'static str, text: &str) -> Result<(), NameError> {
    check_slug(kind, text)?;
    if RESERVED_TENANTS.contains(&text) {
        return Err(NameError {
            kind,
            text: text.to_owned(),
            problem: "is reserved for the server's own URLs; choose another id".to_owned(),
        });
    }
    Ok(())
}

name! {
    /// The id of a tenant; it stands in URLs, file paths and every row of the tenant's.
    TenantId, "tenant id", check_tenant
}
name! {
    /// The name of a job, unique in its code location; a file's job is named by the file's path.
    JobName, "job name", check_path
}
name! {
    /// The name of a step within its run: an op's id or an asset's key.
    StepKey, "step key", check_text
}
name! {
    /// The name of a resource of a code location.
    ResourceName, "resource name", check_slug
}
name! {
    /// The name of an IO manager of a code location.
    IoName, "io name", check_slug
}
name! {
    /// The name of a pool of slots, unique in its code location.
    PoolName, "pool name", check_slug
}
name! {
    /// The name of a partitions definition of a code location.
    PartitionsName, "partitions name", check_slug
}
name! {
    /// The name of one dimension of a partition key.
    DimensionName, "dimension name", check_slug
}
name! {
    /// The name of a schedule; a job's own schedule has the job's name.
    ScheduleName, "schedule name", check_path
}
name! {
    /// The name of a sensor.
    SensorName, "sensor name", check_path
}
name! {
    /// The name of a calendar of excluded days.
    CalendarName, "calendar name", check_slug
}
name! {
    /// The name of a code location: one root of definition files, or one host of user code.
    LocationName, "code location name", check_slug
}

impl TenantId {
    /// The tenant of a project that declares none.
    pub fn default_tenant() -> Self {
        Self("default".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_id_that_could_leave_its_folder_or_shadow_a_route_is_refused() {
        for text in ["", "..", "../a", "a/b", "a b", "-a", "api", "health", "a\u{0}b", "é"] {
            assert!(text.parse::<TenantId>().is_err(), "{text:?} was accepted");
        }
        for text in ["tenant_a", "jfk", "t-1.eu", "9lives"] {
            assert_eq!(text.parse::<TenantId>().map(|t| t.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn a_job_name_is_a_relative_path_without_dots() {
        for text in ["/a", "a//b", "a/../b", "./a", "a/", "a\\b"] {
            assert!(text.parse::<JobName>().is_err(), "{text:?} was accepted");
        }
        assert!("production/daily_etl".parse::<JobName>().is_ok());
    }
}
