//! Points in time as the store keeps them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Zone;

/// A point in time, in whole microseconds since 1970-01-01T00:00:00Z.
///
/// JSON shows it as RFC 3339 text with a `Z`; the store keeps the integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// The point `micros` microseconds after the epoch, held within the years −9999 to 9999.
    pub fn from_micros(micros: i64) -> Self {
        // One second inside jiff's own range, whose ends do not survive the conversion back.
        let first = jiff::Timestamp::MIN.as_microsecond() + 1_000_000;
        let last = jiff::Timestamp::MAX.as_microsecond() - 1_000_000;
        Self(micros.clamp(first, last))
    }

    /// Microseconds since the epoch.
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// The point `duration` later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.0.saturating_add(micros))
    }

    /// The point `duration` earlier.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.0.saturating_sub(micros))
    }

    /// The time from `earlier` to this point; zero when it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The point that `text`, a local date or date and time like `2026-01-31T06:00`, means on the
    /// clock of `zone`; a time that the clock leaves out means the one it jumps to.
    pub fn at_local(text: &str, zone: &Zone) -> Option<Self> {
        let local: jiff::civil::DateTime = text.trim().parse().ok()?;
        let zoned = local.to_zoned(zone.as_jiff().clone()).ok()?;
        Some(Self::from(zoned.timestamp()))
    }

    /// The point on the clock of the zone called `timezone`, with its offset:
    /// `2026-03-08 03:00:00 -04:00`; in UTC when there is no such zone.
    pub fn local(self, timezone: &str) -> String {
        let zone = timezone.parse().unwrap_or(Zone::UTC);
        let zoned = self.to_jiff().to_zoned(zone.as_jiff().clone());
        zoned.strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
    }

    /// The same point as jiff's type, for calendars and zones.
    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(value: jiff::Timestamp) -> Self {
        Self(value.as_microsecond())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_jiff())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse::<jiff::Timestamp>().map(Self::from).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_shows_the_time_of_day_and_loses_nothing() {
        let time = Timestamp::from_micros(1_356_998_400_123_456);
        let json = serde_json::to_string(&time).unwrap();
        assert_eq!(json, "\"2013-01-01T00:00:00.123456Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), time);
    }

    #[test]
    fn a_corrupt_number_becomes_the_nearest_point_in_time() {
        assert!(Timestamp::from_micros(i64::MAX).to_string().starts_with("9999"));
    }
}
