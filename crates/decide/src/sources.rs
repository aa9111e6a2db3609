//! Which versions of a definition file keep the sources of their steps.
//!
//! Pure: `control::sources` loads the versions and asks; a daemon removes what no kept version, no
//! plan of a run that is not over and nobody lately has asked for.
//!
//! **Invariant.** The live version of a file is always kept, pinned or not.

use std::collections::BTreeSet;
use std::time::Duration;

use millstream_model::view::VersionRow;
use millstream_model::{ContentHash, Timestamp};

/// The newest versions of a file whose sources are kept however old they are.
pub const VERSIONS_KEPT: usize = 20;

/// A version whose successor was loaded less than this ago keeps its sources.
pub const KEPT_FOR: Duration = Duration::from_hours(30 * 24);

/// Those of a file's `versions`, which are in order with the newest first, that keep their sources.
#[must_use]
pub fn kept(
    versions: &[VersionRow],
    live: Option<&ContentHash>,
    now: Timestamp,
) -> BTreeSet<ContentHash> {
    let newest = versions.iter().take(VERSIONS_KEPT);
    let replaced = versions.iter().zip(versions.iter().skip(1));
    let lately = replaced.filter(|(next, _)| now.since(next.loaded_at) < KEPT_FOR);
    let named = newest.chain(lately.map(|(_, version)| version)).map(|version| &version.hash);
    named.chain(live).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MICROS: i64 = 24 * 3_600_000_000;

    /// `count` versions, of which version N was loaded on day N times `days`; the newest first.
    fn loaded_every(days: i64, count: u32) -> Vec<VersionRow> {
        let version = |number: u32| VersionRow {
            number,
            hash: hash(number),
            loaded_at: Timestamp::from_micros(i64::from(number) * days * DAY_MICROS),
        };
        (1..=count).rev().map(version).collect()
    }

    fn hash(number: u32) -> ContentHash {
        ContentHash::of(number.to_string().as_bytes())
    }

    fn on_day(day: i64) -> Timestamp {
        Timestamp::from_micros(day * DAY_MICROS)
    }

    #[test]
    fn the_newest_twenty_versions_are_kept_however_old_they_are() {
        let versions = loaded_every(100, 22);
        let kept = kept(&versions, Some(&hash(22)), on_day(100_000));
        assert_eq!(kept, (3..=22).map(hash).collect());
    }

    #[test]
    fn a_version_that_was_replaced_less_than_thirty_days_ago_is_kept_beyond_the_twenty() {
        let versions = loaded_every(1, 40);
        // Version 11 was loaded on day 11, and replaced version 10.
        assert_eq!(kept(&versions, None, on_day(40)), (10..=40).map(hash).collect());
        assert_eq!(kept(&versions, None, on_day(41)), (11..=40).map(hash).collect());
    }

    #[test]
    fn the_live_version_is_kept_wherever_it_stands() {
        let versions = loaded_every(100, 30);
        assert!(kept(&versions, Some(&hash(1)), on_day(100_000)).contains(&hash(1)));
        assert!(!kept(&versions, None, on_day(100_000)).contains(&hash(1)));
    }
}
