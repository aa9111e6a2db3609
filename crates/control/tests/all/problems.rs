//! What is wrong with a schedule or a sensor among all the definitions of its location.

use millstream_control::Control;
use millstream_definition::{LocationFile, Version, check_location, file_hash};
use millstream_model::{ErrorCode, Manifest};

use crate::bench::location;
use crate::sensors::parsed;

const ASSETS: &str = "\
partitions:
  shop: {kind: dynamic}
  grain: {kind: static, keys: [day, week]}
  both:
    kind: multi
    dimensions:
      day: {kind: daily, start: 2026-01-01}
      grain: {kind: static, keys: [day, week]}
assets:
  sold: {partitions: shop, step: {kind: noop}}
  rates: {partitions: grain, step: {kind: noop}}
  sums: {partitions: both, step: {kind: noop}}
  whole: {step: {kind: noop}}
";

fn manifest(text: &str) -> Manifest {
    let content = parsed("one.yaml", &format!("{ASSETS}{text}"));
    let hash = file_hash(&content);
    let version = Version { hash: &hash, manifest: &content, places: None };
    let file = LocationFile { name: "one.yaml", newest: Some(version), draft: None, live: None };
    check_location(location(), &[file]).manifest
}

/// What is wrong with a schedule of these keys, and the way out.
fn of_schedule(keys: &str) -> Option<(String, String)> {
    let manifest = manifest(&format!("schedules:\n  s: {{cron: '@daily', {keys}}}\n"));
    let schedule = manifest.schedules.values().next().unwrap();
    let problem = Control::schedule_problem(&manifest, schedule)?;
    assert_eq!((problem.key, problem.code), ("partitions", ErrorCode::PartitionNeeded));
    Some((problem.message, problem.help.unwrap()))
}

#[test]
fn partitions_that_no_tick_can_ever_find_are_told_with_the_way_out() {
    for (keys, said) in [
        (
            "select: sold, partitions: latest",
            "`latest` is the newest window of time, and `shop` has none",
        ),
        (
            "select: rates, partitions: latest",
            "`latest` is the newest window of time, and `grain` has none",
        ),
        (
            "select: sums, partitions: {grain: latest}",
            "`latest` is the newest window of time, and dimension `grain` of `both` has none",
        ),
    ] {
        assert_eq!(of_schedule(keys).unwrap().0, said, "{keys}");
    }
    let (said, help) = of_schedule("select: sums, partitions: {grain: [day, wek]}").unwrap();
    assert_eq!(said, "dimension `grain` of `both` has no value `wek`");
    assert_eq!(help, "did you mean `week`? its values begin with day, week");
    for fine in [
        "select: sold, partitions: all",
        "select: sums, partitions: latest",
        "select: sums, partitions: {day: latest, grain: [day, week]}",
    ] {
        assert_eq!(of_schedule(fine), None, "{fine}");
    }
}

#[test]
fn a_sensor_that_finds_no_partition_for_what_needs_one_is_told_so() {
    let problem = |sensor: &str| {
        let manifest = manifest(&format!("sensors:\n  s: {{{sensor}}}\n"));
        Control::sensor_problem(&manifest, manifest.sensors.values().next().unwrap())
    };
    let found = problem("kind: files, path: in, request: {select: sold}").unwrap();
    assert_eq!((found.key, found.code), ("request", ErrorCode::PartitionNeeded));
    let said = "`sold` is partitioned by `shop`, and what sensor `s` finds names none";
    assert_eq!(found.message, said);
    for fine in [
        "kind: files, path: in, request: {select: whole}",
        "kind: files, path: in, request: {select: sold, partition: '{{ file.name }}'}",
        "kind: asset, select: sold, request: {select: sold}",
        "kind: command, command: [./x], request: {select: sold}",
    ] {
        assert_eq!(problem(fine), None, "{fine}");
    }
}
