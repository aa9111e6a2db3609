//! Which partitions a tick asks for.
//!
//! `control` knows the dynamic keys and the nominal time; what the selection of a schedule means
//! is decided here, at that time and not at the time of day.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::partitions::PartitionKeyError;
use millstream_model::{PartWanted, PartitionKey, PartitionsDef, TickPartitions, Timestamp};

/// The partitions that a tick asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WantedKeys {
    /// Those that fit, each once, in the order of their keys.
    pub keys: Vec<PartitionKey>,
    /// Those that are stored and lack the definition's form.
    pub broken: Vec<PartitionKeyError>,
}

/// The keys of `def` that `wanted` names at `nominal`, of which `added` were added while the
/// instance ran; at most `limit` of each kind.
pub fn wanted_keys(
    def: &PartitionsDef,
    wanted: &TickPartitions,
    (added, nominal): (&[PartitionKey], Timestamp),
    limit: usize,
) -> WantedKeys {
    let Some(narrowed) = narrowed(def, None, wanted, (added, nominal)) else {
        return WantedKeys::default();
    };
    let mut keys = BTreeSet::new();
    let mut broken = Vec::new();
    for key in narrowed.keys(nominal, None, KEYS_MAX) {
        match def.parse_key(&key) {
            Ok(parts) if fits(wanted, &parts) => {
                keys.insert(key);
            }
            Ok(_) => {}
            Err(error) if broken.len() < limit => broken.push(error),
            Err(_) => {}
        }
        if keys.len() >= limit {
            break;
        }
    }
    WantedKeys { keys: keys.into_iter().collect(), broken }
}

/// Most keys that one tick looks at.
const KEYS_MAX: usize = 1_000_000;

/// `def` with its added keys, and with the newest window alone where that is wanted.
fn narrowed(
    def: &PartitionsDef,
    name: Option<&str>,
    wanted: &TickPartitions,
    (added, nominal): (&[PartitionKey], Timestamp),
) -> Option<PartitionsDef> {
    let is_latest = match wanted {
        TickPartitions::All => false,
        TickPartitions::Latest => true,
        TickPartitions::Matching(parts) => {
            name.and_then(|name| parts.get(name)) == Some(&PartWanted::Latest)
        }
    };
    match def {
        PartitionsDef::TimeWindow(windows) if is_latest => {
            let windows = windows.windows().ok()?;
            let key = windows.key_of(windows.last(nominal)?)?;
            Some(PartitionsDef::Static { keys: vec![key] })
        }
        PartitionsDef::Static { .. } | PartitionsDef::TimeWindow(_) => Some(def.clone()),
        PartitionsDef::Dynamic(dynamic) => {
            let mut dynamic = dynamic.clone();
            let declared: BTreeSet<PartitionKey> = dynamic.keys.iter().cloned().collect();
            let more = added.iter().filter(|key| !declared.contains(*key));
            dynamic.keys.extend(more.cloned());
            Some(PartitionsDef::Dynamic(dynamic))
        }
        PartitionsDef::Multi { dimensions } => {
            let each = |(name, def): (&millstream_model::DimensionName, &PartitionsDef)| {
                let own = narrowed(def, Some(name.as_str()), wanted, (added, nominal))?;
                Some((name.clone(), own))
            };
            let dimensions: Option<BTreeMap<_, _>> = dimensions.iter().map(each).collect();
            Some(PartitionsDef::Multi { dimensions: dimensions? })
        }
    }
}

fn fits(wanted: &TickPartitions, parts: &BTreeMap<String, String>) -> bool {
    let TickPartitions::Matching(named) = wanted else { return true };
    named.iter().all(|(name, wanted)| match wanted {
        PartWanted::Latest => true,
        PartWanted::OneOf(texts) => parts.get(name.as_str()).is_some_and(|it| texts.contains(it)),
    })
}

#[cfg(test)]
mod tests {
    use millstream_model::Zone;
    use millstream_model::partitions::{Cadence, DynamicPartitions, TimeWindowPartitions};

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::at_local(text, &Zone::UTC).unwrap()
    }

    fn key(text: &str) -> PartitionKey {
        text.parse().unwrap()
    }

    fn grains() -> PartitionsDef {
        PartitionsDef::Dynamic(DynamicPartitions {
            dimensions: ["tenant", "grain", "metric"].map(|it| it.parse().unwrap()).to_vec(),
            separator: "::".to_owned(),
            tenant: None,
            keys: vec![key("a::day::x"), key("a::week::x")],
        })
    }

    fn daily() -> PartitionsDef {
        PartitionsDef::TimeWindow(TimeWindowPartitions {
            cadence: Cadence::Daily,
            start: "2026-01-01".to_owned(),
            end: None,
            timezone: "UTC".to_owned(),
            format: None,
        })
    }

    fn matching(name: &str, wanted: PartWanted) -> TickPartitions {
        TickPartitions::Matching([(name.parse().unwrap(), wanted)].into())
    }

    #[test]
    fn r029_r031_keys_of_one_grain_are_wanted_and_a_broken_one_keeps_none_back() {
        let added = [key("a::day::y"), key("broken")];
        let wanted = matching("grain", PartWanted::OneOf(vec!["day".to_owned()]));
        let found = wanted_keys(&grains(), &wanted, (&added, at("2026-01-05T03:00")), 100);
        assert_eq!(found.keys, [key("a::day::x"), key("a::day::y")]);
        let told: Vec<String> = found.broken.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["Invalid partition key format: broken"]);
    }

    #[test]
    fn the_latest_window_is_the_one_that_ended_last_at_the_nominal_time() {
        let keys = |now| wanted_keys(&daily(), &TickPartitions::Latest, (&[], at(now)), 9).keys;
        assert_eq!(keys("2026-01-05T03:00"), [key("2026-01-04")]);
        assert_eq!(keys("2026-01-01T03:00"), []);
    }

    #[test]
    fn of_two_dimensions_the_latest_window_is_wanted_with_every_other_part() {
        let shops = PartitionsDef::Static { keys: vec![key("n"), key("s")] };
        let dimensions =
            [("date".parse().unwrap(), daily()), ("shop".parse().unwrap(), shops)].into();
        let def = PartitionsDef::Multi { dimensions };
        let now = at("2026-01-05T03:00");
        let keys = |wanted: &TickPartitions| wanted_keys(&def, wanted, (&[], now), 9).keys;
        let both = [key("2026-01-04|n"), key("2026-01-04|s")];
        assert_eq!(keys(&TickPartitions::Latest), both);
        assert_eq!(keys(&matching("date", PartWanted::Latest)), both);
        assert_eq!(keys(&TickPartitions::All).len(), 8);
        assert_eq!(def.part_names(), ["date", "shop"]);
    }
}
