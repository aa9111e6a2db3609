//! The grammar of selections on a graph of twenty assets.

use millstream_model::{AssetDef, ErrorCode, FileManifest, Manifest};
use millstream_plan::PlanError;
use millstream_plan::selection::{Selection, select, selection_help};
use proptest::prelude::*;

use crate::{asset, manifest};

/// Two sources, a layer each of staging, marts and reports, and a corner of machine learning.
fn twenty() -> Manifest {
    let mut assets = vec![
        asset("raw/orders", &[]),
        asset("raw/customers", &[]),
        asset("raw/products", &[]),
        asset("raw/events", &[]),
        asset("stg/orders", &["raw/orders"]),
        asset("stg/customers", &["raw/customers"]),
        asset("stg/products", &["raw/products"]),
        asset("stg/events", &["raw/events"]),
        asset("mart/sales", &["stg/orders", "stg/products"]),
        asset("mart/people", &["stg/customers", "stg/orders"]),
        asset("mart/traffic", &["stg/events"]),
        asset("report/weekly", &["mart/sales", "mart/people"]),
        asset("report/daily", &["mart/sales"]),
        asset("report/traffic", &["mart/traffic"]),
        asset("ml/features", &["mart/people", "mart/traffic"]),
        asset("ml/model", &["ml/features"]),
        asset("ml/scores", &["ml/model", "mart/people"]),
        asset("export", &["report/weekly", "ml/scores"]),
        asset("alone", &[]),
        asset("odd + key", &[]),
    ];
    for asset in &mut assets {
        decorate(asset);
    }
    manifest(&FileManifest { assets, ..Default::default() })
}

fn decorate(asset: &mut AssetDef) {
    let layer = asset.key.parts()[0].clone();
    if layer == "raw" {
        asset.tags.insert("source".to_owned(), "shop".to_owned());
    }
    if layer == "ml" {
        asset.kinds.push("python".to_owned());
        asset.owners.push("team:science".to_owned());
    }
    if asset.key.to_string() == "raw/events" {
        asset.tags.insert("source".to_owned(), "web".to_owned());
    }
    asset.group = layer;
}

fn check(text: &str, expected: &[&str]) {
    let chosen = select(&twenty(), text).unwrap();
    let found: Vec<String> = chosen.iter().map(ToString::to_string).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn r084_one_asset_and_its_neighbourhood() {
    check("mart/sales", &["mart/sales"]);
    check("mart/sales+", &["export", "mart/sales", "report/daily", "report/weekly"]);
    check("mart/sales*", &["export", "mart/sales", "report/daily", "report/weekly"]);
    check("mart/sales+1", &["mart/sales", "report/daily", "report/weekly"]);
    check("+mart/traffic", &["mart/traffic", "raw/events", "stg/events"]);
    check("*mart/traffic", &["mart/traffic", "raw/events", "stg/events"]);
    check("1+mart/traffic", &["mart/traffic", "stg/events"]);
    check("1+ml/features+1", &["mart/people", "mart/traffic", "ml/features", "ml/model"]);
    check(
        "1+mart/traffic*",
        &[
            "export",
            "mart/traffic",
            "ml/features",
            "ml/model",
            "ml/scores",
            "report/traffic",
            "stg/events",
        ],
    );
    check("alone+", &["alone"]);
}

#[test]
fn r084_attributes_and_keys_with_stars() {
    check("tag:source=web", &["raw/events"]);
    check("tag:source", &["raw/customers", "raw/events", "raw/orders", "raw/products"]);
    check("group:report", &["report/daily", "report/traffic", "report/weekly"]);
    check("kind:python", &["ml/features", "ml/model", "ml/scores"]);
    check("owner:team:science", &["ml/features", "ml/model", "ml/scores"]);
    check("raw/*", &["raw/customers", "raw/events", "raw/orders", "raw/products"]);
    check("*/traffic", &["mart/traffic", "report/traffic"]);
    check("key:*traffic", &["mart/traffic", "report/traffic"]);
    check("tag:missing", &[]);
    check("\"odd + key\"", &["odd + key"]);
    assert_eq!(select(&twenty(), "*").unwrap().len(), 20);
}

#[test]
fn r084_lists_and_boolean_words() {
    check("alone, export", &["alone", "export"]);
    check("alone or export", &["alone", "export"]);
    check("alone,export,alone", &["alone", "export"]);
    check("mart/sales+ and group:report", &["report/daily", "report/weekly"]);
    check("group:ml and not ml/model", &["ml/features", "ml/scores"]);
    check("not not alone", &["alone"]);
    check("alone or group:ml and kind:none", &["alone"]);
    check("(alone or group:ml) and not kind:python", &["alone"]);
    check(
        "(ml/model, mart/traffic)+1",
        &["mart/traffic", "ml/features", "ml/model", "ml/scores", "report/traffic"],
    );
    check("+(report/daily) AND raw/*", &["raw/orders", "raw/products"]);
    check("tag:source* and not tag:source=shop", &["raw/events"]);
    check("+group:report+ and group:mart", &["mart/people", "mart/sales", "mart/traffic"]);
}

fn check_error(text: &str, position: usize, words: &str) {
    let error = text.parse::<Selection>().unwrap_err();
    assert_eq!(error.position, position, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!(error.code(), ErrorCode::SelectionSyntax);
}

#[test]
fn r084_bad_syntax_is_answered_with_its_place() {
    check_error("", 1, "`*` selects all");
    check_error("a,,b", 3, "expected an asset, not `,`");
    check_error("a b", 3, "expected `,`, `and`, `or` or the end");
    check_error("a/b c", 5, "a key with a blank in it stands in quotes of its own: `\"a key\"`");
    check_error("(a or b", 8, "expected `)`");
    check_error("é)", 2, "closes nothing");
    check_error("a and", 6, "expected an asset");
    check_error("tags:x", 1, "there is no `tags:`");
    check_error("tag:", 5, "expected a text");
    check_error("x, \"open", 4, "not closed");
    check_error("a+b", 3, "in quotes");
    check_error("0+a", 1, "0 levels");
    check_error("a+99999999999", 2, "cannot be counted");
    check_error("a//b", 1, "empty part");
    check_error(&"(".repeat(60), 52, "nested deeper");
    check_error(&"not ".repeat(60), 204, "nested deeper");
    check_error(&"a,".repeat(6_000), 1, "longer than 10000 bytes");
}

const PAGE: &str = include_str!("../../../../docs/reference/selections.md");
const ERROR: &str = include_str!("../../../../docs/errors/selection-syntax.md");

/// The assets of the page: a line of four, two of which feed others.
fn of_the_page() -> Manifest {
    let mut assets = vec![
        asset("src", &[]),
        asset("raw/orders", &["src"]),
        asset("raw/rates", &[]),
        asset("stg/orders", &["raw/orders"]),
        asset("sales", &["stg/orders", "raw/rates"]),
        asset("sales per day", &["sales"]),
    ];
    for asset in &mut assets {
        if asset.key.parts()[0] == "raw" {
            "raw".clone_into(&mut asset.group);
            asset.kinds = vec!["csv".to_owned()];
            asset.tags.insert("source".to_owned(), "shop".to_owned());
            asset.owners = vec!["team:shop".to_owned()];
        }
    }
    manifest(&FileManifest { assets, ..Default::default() })
}

#[test]
fn r084_every_example_of_the_page_on_selections_selects_what_it_says() {
    let rows: Vec<Vec<&str>> = PAGE
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    assert!(rows.len() >= 15, "{rows:?}");
    for row in rows {
        let text = row[0].trim_matches('`');
        let chosen = select(&of_the_page(), text).unwrap_or_else(|error| panic!("{error}"));
        let found: Vec<String> = chosen.iter().map(|key| format!("`{key}`")).collect();
        let wanted = if row[1] == "all" { of_the_page().assets.len() } else { found.len() };
        assert_eq!(found.len(), wanted, "{text}");
        assert!(row[1] == "all" || row[1] == found.join(", "), "{text}: {found:?}, {}", row[1]);
    }
}

#[test]
fn r084_the_example_of_the_page_on_bad_syntax_is_refused_as_it_says() {
    let (_, rest) = ERROR.split_once("materialize '").unwrap();
    let (text, _) = rest.split_once("'\n").unwrap();
    check_error(text, text.chars().count() + 1, "expected an asset");
}

#[test]
fn r084_a_key_with_two_colons_is_no_attribute() {
    assert!("jfk::day::flights".parse::<Selection>().is_ok());
}

proptest! {
    #[test]
    fn r084_no_text_panics_and_what_parses_evaluates(text in "[ab/*+,():\"0-9 ]{0,30}|\\PC{0,30}") {
        if text.parse::<Selection>().is_ok() {
            // An unknown asset is an answer, too.
            if let Err(error) = select(&twenty(), &text) {
                prop_assert_eq!(error.code(), ErrorCode::AssetUnknown);
            }
        }
    }

    #[test]
    fn upstream_of_a_downstream_selection_holds_its_start(place in 0_usize..20) {
        let all = twenty();
        let start = all.assets.keys().nth(place).unwrap().to_string();
        let around = select(&all, &format!("+(\"{start}\"+)")).unwrap();
        prop_assert!(around.iter().any(|key| key.to_string() == start));
    }
}

#[test]
fn of_a_selection_that_selects_nothing_the_part_that_fits_no_asset_is_named_with_the_nearest() {
    let all = twenty();
    let help = |text: &str| {
        selection_help(&all, &PlanError::SelectionEmpty { selection: text.to_owned() })
    };
    for (text, part) in [
        ("group:reprot", "no asset has the group `reprot`; did you mean `report`? There are"),
        ("kind:pyton+", "no asset has the kind `pyton`; did you mean `python`? There are `python`"),
        ("alone and owner:x", "no asset has the owner `x`; there are `team:science`"),
        ("tag:sorce", "no asset has the tag `sorce`; did you mean `source`? There are `source`"),
        (
            "tag:source=wbe",
            "no asset has the tag `source` with `wbe`; did you mean `web`? There are `shop`, `web`",
        ),
        ("rwa/*", "no asset has the key `rwa/*`; "),
        ("alone and export", "each part of it fits assets, and no asset fits them all"),
        ("not *", "each part of it fits assets, and no asset fits them all"),
    ] {
        let found = help(text).unwrap();
        assert!(found.starts_with(part), "{text}: {found}");
    }
    assert_eq!(help("alone"), None, "it selects one, which has no step");
    let none = manifest(&FileManifest::default());
    let error = PlanError::SelectionEmpty { selection: "*".to_owned() };
    let words = "there are no assets yet; they are declared under `assets`";
    assert_eq!(selection_help(&none, &error).as_deref(), Some(words));
}
