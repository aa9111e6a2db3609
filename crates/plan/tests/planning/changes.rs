//! What a change of definitions does.

use millstream_model::{
    AssetDef, CommandLine, CommandStep, FileManifest, JobShape, StepConfig, Timestamp,
};
use millstream_plan::changes::{ChangeKind, Changes, MadeToday, PartsToday, Stale, changes};
use millstream_plan::code_version;
use serde_json::json;

use crate::{asset, job, manifest, op};

fn between(old: &FileManifest, new: &FileManifest) -> Changes {
    changes(&manifest(old), &manifest(new), None)
}

/// Each stale asset with what above it makes it so.
fn words(stale: &[Stale]) -> Vec<String> {
    let above = |it: &Stale| it.upstream.as_ref().map_or("its own".to_owned(), ToString::to_string);
    stale.iter().map(|it| format!("{}: {}", it.asset, above(it))).collect()
}

fn assets(assets: Vec<AssetDef>) -> FileManifest {
    FileManifest { assets, ..FileManifest::default() }
}

/// The same asset with other code.
fn edited(asset: AssetDef) -> AssetDef {
    let command = CommandLine::Shell("./other.sh".to_owned());
    let step: CommandStep = serde_json::from_value(json!({ "command": command })).unwrap();
    AssetDef { step: Some(StepConfig::Command(step)), ..asset }
}

fn scheduled(cron: &str) -> FileManifest {
    let ops = JobShape::Ops(vec![op("a", &[])]);
    let job = millstream_model::JobDef { schedule: Some(cron.to_owned()), ..job("etl", ops) };
    FileManifest { jobs: vec![job], ..FileManifest::default() }
}

#[test]
fn the_same_definitions_change_nothing() {
    let file = assets(vec![asset("a", &[]), asset("b", &["a"])]);
    assert!(between(&file, &file).is_empty());
}

#[test]
fn things_that_come_and_go_are_named_with_their_kind() {
    let (old, new) = (assets(vec![asset("a", &[])]), assets(vec![asset("b", &[])]));
    let found = between(&old, &new);
    let words: Vec<_> =
        found.things.iter().map(|it| (it.kind.as_str(), it.name.as_str(), it.change)).collect();
    assert_eq!(words, [("assets", "a", ChangeKind::Removed), ("assets", "b", ChangeKind::Added)]);
    assert!(found.stale.is_empty(), "what is new was never made");
}

#[test]
fn a_changed_thing_names_each_field_with_what_it_was_and_is() {
    let found = between(&scheduled("0 6 * * *"), &scheduled("0 8 * * *"));
    let fields = &found.things[0].fields;
    assert_eq!(fields.len(), 1, "{fields:#?}");
    assert_eq!(fields[0].field, "schedule");
    assert_eq!((&fields[0].before, &fields[0].after), (&json!("0 6 * * *"), &json!("0 8 * * *")));
}

#[test]
fn a_field_of_an_op_is_found_below_the_ops_id() {
    let ops = |step: StepConfig| {
        let changed = millstream_model::OpDef { step, ..op("load", &["extract"]) };
        let job = job("etl", JobShape::Ops(vec![op("extract", &[]), changed]));
        FileManifest { jobs: vec![job], ..FileManifest::default() }
    };
    let step = |command: &str| {
        serde_json::from_value(json!({ "kind": "command", "command": command })).unwrap()
    };
    let found = between(&ops(step("./a.sh")), &ops(step("./b.sh")));
    assert_eq!(found.things[0].fields[0].field, "nodes.load.step.command");
}

#[test]
fn an_op_that_comes_or_goes_leaves_the_fields_of_the_others_apart() {
    let of =
        |ops| FileManifest { jobs: vec![job("etl", JobShape::Ops(ops))], ..Default::default() };
    let old = of(vec![op("a", &[]), op("b", &["a"])]);
    let new = of(vec![op("a", &[]), op("b", &[]), op("c", &["b"])]);
    let found = between(&old, &new);
    let fields = found.things[0].fields.iter();
    let fields: Vec<&str> = fields.map(|it| it.field.as_str()).collect();
    assert_eq!(fields, ["nodes.b.depends_on", "nodes.c"]);
    let turned = of(vec![op("b", &["a"]), op("a", &[])]);
    assert_eq!(between(&old, &turned).things[0].fields[0].field, "nodes");
}

#[test]
fn new_code_makes_an_asset_stale_and_later_what_is_below_it_and_nothing_above_or_beside() {
    let old = vec![
        asset("top", &[]),
        asset("mid", &["top"]),
        asset("low", &["mid"]),
        asset("x", &["top"]),
    ];
    let mut new = old.clone();
    new[1] = edited(new[1].clone());
    let found = between(&assets(old), &assets(new));
    assert_eq!(words(&found.stale), ["mid: its own"]);
    assert_eq!(words(&found.stale_later), ["low: mid"]);
}

#[test]
fn a_declared_code_version_that_stays_keeps_what_was_made_fresh() {
    let kept = AssetDef { code_version: Some("1".to_owned()), ..asset("a", &[]) };
    let found = between(&assets(vec![kept.clone()]), &assets(vec![edited(kept)]));
    assert_eq!(found.things.len(), 1);
    assert!(found.stale.is_empty());
}

#[test]
fn an_asset_that_is_only_observed_becomes_stale_later_and_passes_that_on() {
    let seen = |key: &str, deps: &[&str]| AssetDef { step: None, ..asset(key, deps) };
    let old = vec![asset("a", &[]), seen("b", &["a"]), asset("c", &["b"])];
    let mut new = old.clone();
    new[0] = edited(new[0].clone());
    let found = between(&assets(old), &assets(new));
    assert_eq!(words(&found.stale), ["a: its own"]);
    assert_eq!(words(&found.stale_later), ["b: a", "c: b"]);
}

#[test]
fn only_what_other_code_has_made_becomes_stale() {
    let old = vec![asset("a", &[]), asset("b", &["a"]), asset("c", &["b"])];
    let mut new = old.clone();
    new[0] = edited(new[0].clone());
    let (before, after) = [&old[0], &new[0]].map(code_version).into();
    let (old, new) = (manifest(&assets(old)), manifest(&assets(new)));
    let found = |made: &[(&str, Option<&str>, u64)]| {
        let mut today = MadeToday::new();
        for (asset, by, count) in made {
            let of_asset = today.entry(asset.parse().unwrap()).or_default();
            of_asset.insert(by.map(str::to_owned), *count);
        }
        let parts = PartsToday { now: Timestamp::from_micros(0), tenants: [].into() };
        let found = changes(&old, &new, Some((&today, &parts)));
        let counts = found.stale.iter().chain(&found.stale_later).map(|it| it.built.unwrap());
        (words(&found.stale), words(&found.stale_later), counts.collect::<Vec<_>>())
    };
    let (at_once, later) = (vec!["a: its own".to_owned()], vec!["c: b".to_owned()]);
    let (old_code, new_code) = (Some(before.as_str()), Some(after.as_str()));
    let both = [("a", old_code, 2), ("a", new_code, 5), ("c", None, 3)];
    assert_eq!(found(&both), (at_once, later, vec![2, 3]), "b was never made");
    for by in [new_code, None] {
        assert_eq!(found(&[("a", by, 1), ("c", None, 3)]), Default::default(), "{by:?}");
    }
}
