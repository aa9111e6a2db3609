//! Keys of static, dynamic and several dimensions: their form, their parts, their pages.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::partitions::{Cadence, DynamicPartitions, PartitionsProblem};
use millstream_model::{PartitionKey, PartitionsDef};
use proptest::prelude::*;

use crate::{key, texts, time, windows_since};

fn dynamic(dimensions: &[&str], keys: &[&str]) -> DynamicPartitions {
    DynamicPartitions {
        dimensions: dimensions.iter().map(|name| name.parse().unwrap()).collect(),
        separator: "::".to_owned(),
        tenant: dimensions.first().map(|name| name.parse().unwrap()),
        keys: keys.iter().map(|text| key(text)).collect(),
    }
}

fn tenant_grain_metric() -> PartitionsDef {
    PartitionsDef::Dynamic(dynamic(&["tenant", "grain", "metric"], &[]))
}

/// 120 days times the contexts given.
fn days_by_context(contexts: &[&str]) -> PartitionsDef {
    let days = PartitionsDef::TimeWindow(windows_since(Cadence::Daily, "2025-07-01", "UTC"));
    let contexts = PartitionsDef::Dynamic(dynamic(&["tenant", "metric"], contexts));
    let dimensions = [("a_day", days), ("context", contexts)];
    PartitionsDef::Multi {
        dimensions: dimensions.map(|(name, def)| (name.parse().unwrap(), def)).into(),
    }
}

fn parts(def: &PartitionsDef, text: &str) -> BTreeMap<String, String> {
    def.parse_key(&key(text)).unwrap()
}

#[test]
fn r026_the_last_part_keeps_further_separators() {
    let found = parts(&tenant_grain_metric(), "tenant123::day::a::b::c");
    let expected = [("tenant", "tenant123"), ("grain", "day"), ("metric", "a::b::c")];
    assert_eq!(found, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
}

#[test]
fn r031_a_key_that_lacks_the_form_is_named_in_the_error() {
    for text in ["broken", "a::b", "::day::x", "a::::x", "a::b::"] {
        let error = tenant_grain_metric().parse_key(&key(text)).unwrap_err();
        assert_eq!(error.to_string(), format!("Invalid partition key format: {text}"));
    }
}

proptest! {
    #[test]
    fn r026_parts_that_are_joined_come_apart_again(
        tenant in "[a-z0-9_]{1,8}",
        grain in "[a-z]{1,5}",
        metric in "[a-z][a-z:]{0,9}",
    ) {
        let found = parts(&tenant_grain_metric(), &format!("{tenant}::{grain}::{metric}"));
        prop_assert_eq!(found.get("tenant"), Some(&tenant));
        prop_assert_eq!(found.get("grain"), Some(&grain));
        prop_assert_eq!(found.get("metric"), Some(&metric));
    }

    #[test]
    fn no_text_makes_parsing_panic(text in "\\PC{1,40}") {
        let Ok(any) = text.parse::<PartitionKey>() else { return Ok(()) };
        let now = time("2026-01-01T00:00:00Z");
        for def in [tenant_grain_metric(), days_by_context(&["a::b"])] {
            let parsed = def.parse_key(&any).is_ok();
            prop_assert!(parsed || !def.contains(&any, now, &BTreeSet::from([any.clone()])));
            def.near(&any, now, (&[], &|_| true));
        }
    }
}

#[test]
fn r034_a_dynamic_key_exists_once_it_was_added() {
    let (def, wanted) = (tenant_grain_metric(), key("a::day::x"));
    let now = time("2026-01-01T00:00:00Z");
    assert_eq!(texts(&def.dynamic_keys(&wanted)), ["a::day::x"]);
    assert!(!def.contains(&wanted, now, &BTreeSet::new()));
    assert!(def.contains(&wanted, now, &BTreeSet::from([wanted.clone()])));

    let declared = PartitionsDef::Dynamic(dynamic(&["tenant", "grain", "metric"], &["a::day::x"]));
    assert_eq!(declared.dynamic_keys(&wanted), []);
    assert!(declared.contains(&wanted, now, &BTreeSet::new()));
}

#[test]
fn r041_a_key_of_two_dimensions_has_the_parts_of_both() {
    let def = days_by_context(&["tenant_a::cpu_usage"]);
    let found = parts(&def, "2025-07-01|tenant_a::cpu_usage");
    let names: Vec<(&str, &str)> =
        found.iter().map(|(name, part)| (name.as_str(), part.as_str())).collect();
    assert_eq!(
        names,
        [
            ("a_day", "2025-07-01"),
            ("context", "tenant_a::cpu_usage"),
            ("metric", "cpu_usage"),
            ("tenant", "tenant_a"),
        ]
    );
    assert_eq!(def.tenant_dimension().unwrap().as_str(), "tenant");
    let window = def.window_of(&key("2025-07-01|tenant_a::cpu_usage")).unwrap();
    assert_eq!(window.start, time("2025-07-01T00:00:00Z"));
    for text in ["2025-07-01", "2025-07-01|a::b|c", "2025-7-1|a::b", "2025-07-01|a", "|a::b"] {
        assert!(def.parse_key(&key(text)).is_err(), "{text}");
    }
}

#[test]
fn r041_six_thousand_cells_come_page_by_page_each_once() {
    let contexts: Vec<String> = (0..50).map(|i| format!("tenant_{}::m{i}", i % 3)).collect();
    let contexts: Vec<&str> = contexts.iter().map(String::as_str).collect();
    let def = days_by_context(&contexts);
    let now = time("2025-10-29T00:00:00Z");
    assert_eq!(def.count(now), 6_000);
    let mut all = def.keys(now, None, 700);
    loop {
        let page = def.keys(now, all.last(), 700);
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    assert_eq!(all.len(), 6_000);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 6_000);
    assert_eq!(all[0], key("2025-07-01|tenant_0::m0"));
    assert_eq!(all[50], key("2025-07-02|tenant_0::m0"));
    assert!(all.iter().all(|cell| def.contains(cell, now, &BTreeSet::new())));
}

#[test]
fn a_page_after_a_key_that_is_gone_is_empty() {
    let def = PartitionsDef::Static { keys: ["a", "b", "c"].map(key).into() };
    let now = time("2025-01-01T00:00:00Z");
    assert_eq!(texts(&def.keys(now, Some(&key("a")), 1)), ["b"]);
    assert_eq!(texts(&def.keys(now, Some(&key("z")), 9)), [""; 0]);
}

#[test]
fn r034_near_keys_are_the_likely_ones_or_the_nearer_end_of_time() {
    let now = time("2025-07-10T12:00:00Z");
    let grains = PartitionsDef::Static { keys: ["day", "week", "month"].map(key).into() };
    assert_eq!(grains.near(&key("days"), now, (&[], &|_| true))[0], key("day"));
    assert_eq!(texts(&grains.near(&key("bos"), now, (&[], &|_| true))), [""; 0]);
    let days = PartitionsDef::TimeWindow(windows_since(Cadence::Daily, "2025-07-01", "UTC"));
    assert_eq!(texts(&days.near(&key("2020-01-01"), now, (&[], &|_| true))), ["2025-07-01"]);
    assert_eq!(texts(&days.near(&key("2030-01-01"), now, (&[], &|_| true))), ["2025-07-09"]);
    assert_eq!(texts(&days.near(&key("yesterday"), now, (&[], &|_| true))), ["2025-07-09"]);
}

#[test]
fn everything_wrong_with_a_definition_is_found_at_once() {
    let mut broken = dynamic(&["tenant", "grain", "grain"], &["a::b::c", "a::b::c", "broken"]);
    broken.separator = String::new();
    broken.tenant = Some("owner".parse().unwrap());
    let problems = PartitionsDef::Dynamic(broken).validate();
    let named: Vec<String> = problems.iter().map(ToString::to_string).collect();
    for words in ["separator", "`grain` stands twice", "`owner` is none", "`a::b::c` stands twice"]
    {
        assert!(named.iter().any(|text| text.contains(words)), "{words} in {named:?}");
    }
    assert_eq!(
        PartitionsDef::Static { keys: Vec::new() }.validate(),
        [PartitionsProblem::Count { what: "keys", count: 0, max: 10_000 }]
    );
    assert_eq!(tenant_grain_metric().validate(), []);
    assert_eq!(days_by_context(&["a::b"]).validate(), []);
}

#[test]
fn dimensions_do_not_nest_and_their_keys_do_not_hold_the_bar() {
    let inner = days_by_context(&[]);
    let bars = PartitionsDef::Static { keys: vec![key("a|b")] };
    let dimensions = [("inner", inner), ("bars", bars)];
    let def = PartitionsDef::Multi {
        dimensions: dimensions.map(|(name, def)| (name.parse().unwrap(), def)).into(),
    };
    let problems = def.validate();
    assert!(matches!(
        problems.as_slice(),
        [PartitionsProblem::SeparatorInKey { .. }, PartitionsProblem::Nested { .. }]
    ));
}
