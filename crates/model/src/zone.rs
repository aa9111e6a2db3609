//! Time zones by their IANA names.

use std::fmt;
use std::str::FromStr;

/// A time zone of the database that this version carries, so that every node of a version agrees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(jiff::tz::TimeZone);

/// A text names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("time zone {text:?} is not known; write an IANA name like `UTC` or `Europe/London`")]
pub struct ZoneError {
    /// The rejected text.
    pub text: String,
}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(jiff::tz::TimeZone::UTC);

    /// The zone as jiff's type.
    pub fn as_jiff(&self) -> &jiff::tz::TimeZone {
        &self.0
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(text: &str) -> Result<Self, ZoneError> {
        let zone = jiff::tz::TimeZone::get(text);
        zone.map(Self).map_err(|_| ZoneError { text: text.to_owned() })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iana_name_is_a_zone_and_an_offset_or_a_typo_is_not() {
        assert_eq!("Asia/Kolkata".parse::<Zone>().unwrap().to_string(), "Asia/Kolkata");
        for text in ["", "Europe/Lundon", "+05:30", "../etc/passwd"] {
            assert!(text.parse::<Zone>().is_err(), "{text:?} was accepted");
        }
    }
}
