//! Ids of runs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Timestamp;

/// The id of a run: a UUIDv7, so that ids sort by the time of their making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(Uuid);

/// A text is not a run id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a run id; `millstream run list` shows them")]
pub struct RunIdError {
    /// The rejected text.
    pub text: String,
}

impl RunId {
    /// The id of a run made at `now`, told apart from others of that millisecond by `random`.
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        let millis = u64::try_from(now.as_micros() / 1_000).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// The short form people say: the last 8 hex digits, which are random (the first are the time).
    pub fn short(&self) -> String {
        let text = self.0.simple().to_string();
        text.get(24..).unwrap_or_default().to_owned()
    }
}

impl FromStr for RunId {
    type Err = RunIdError;

    fn from_str(text: &str) -> Result<Self, RunIdError> {
        Uuid::try_parse(text).map(Self).map_err(|_| RunIdError { text: text.to_owned() })
    }
}

impl TryFrom<String> for RunId {
    type Error = RunIdError;

    fn try_from(text: String) -> Result<Self, RunIdError> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> String {
        id.to_string()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.hyphenated())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_the_short_form_is_the_random_end() {
        let early = RunId::new(Timestamp::from_micros(1_000_000), [0xff; 10]);
        let late = RunId::new(Timestamp::from_micros(2_000_000), [0x01; 10]);
        assert!(early < late);
        assert_eq!(late.short(), "01010101");
        assert_eq!(late.to_string().parse::<RunId>().unwrap(), late);
    }
}
