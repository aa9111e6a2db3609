//! Durations as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A length of time written like `5m`, `2h 30m` or `1.5s`; a bare number means seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct HumanDuration(pub Duration);

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("duration {text:?} is not understood; write it like `30s`, `5m` or `2h 30m`")]
pub struct HumanDurationError {
    /// The rejected text.
    pub text: String,
}

impl HumanDuration {
    /// A whole number of seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The duration of `seconds`, which may have a fraction; `None` when negative or not finite.
    pub fn from_secs_f64(seconds: f64) -> Option<Self> {
        Duration::try_from_secs_f64(seconds).ok().map(Self)
    }
}

impl FromStr for HumanDuration {
    type Err = HumanDurationError;

    fn from_str(text: &str) -> Result<Self, HumanDurationError> {
        let fail = || HumanDurationError { text: text.to_owned() };
        if let Ok(seconds) = text.trim().parse::<f64>() {
            return Self::from_secs_f64(seconds).ok_or_else(fail);
        }
        let span: jiff::SignedDuration = match text.trim().parse() {
            Ok(span) => span,
            // A day has no fixed length in a calendar; for a time-out 24 hours is what is meant.
            Err(_) => return days(text.trim()).ok_or_else(fail),
        };
        Duration::try_from(span).map(Self).map_err(|_| fail())
    }
}

/// Reads `2d` and `1d 12h`; the rest after the days is an ordinary duration.
fn days(text: &str) -> Option<HumanDuration> {
    let (count, rest) = text.split_once('d')?;
    let days = Duration::from_secs(count.trim().parse::<u64>().ok()?.checked_mul(86_400)?);
    let rest = rest.trim();
    if rest.is_empty() {
        return Some(HumanDuration(days));
    }
    rest.parse::<HumanDuration>().ok().and_then(|more| days.checked_add(more.0)).map(HumanDuration)
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < Duration::from_secs(1) {
            return write!(f, "{}ms", self.0.as_millis());
        }
        let seconds = self.0.as_secs();
        let parts = [
            (seconds / 86_400, "d"),
            (seconds / 3_600 % 24, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
        ];
        let words: Vec<String> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, unit)| format!("{count}{unit}"))
            .collect();
        f.write_str(&words.join(" "))?;
        match self.0.subsec_millis() {
            0 => Ok(()),
            millis => write!(f, " {millis}ms"),
        }
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, millis: u64) {
        let duration: HumanDuration = text.parse().unwrap();
        assert_eq!(duration.0, Duration::from_millis(millis), "{text}");
        assert_eq!(duration.to_string().parse::<HumanDuration>().unwrap(), duration, "{text}");
    }

    #[test]
    fn people_write_durations_in_many_ways() {
        check("5m", 300_000);
        check("2h 30m", 9_000_000);
        check("1.5s", 1_500);
        check("250ms", 250);
        check("300", 300_000);
        check("0.2", 200);
        check("2d", 172_800_000);
        check("1d 12h", 129_600_000);
    }

    #[test]
    fn nonsense_and_negative_durations_are_refused() {
        for text in ["", "soon", "-5s", "-1", "5 parsecs", "inf", "NaN"] {
            assert!(text.parse::<HumanDuration>().is_err(), "{text:?} was accepted");
        }
    }
}
