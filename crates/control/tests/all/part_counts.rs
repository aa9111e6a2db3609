//! What is said of partitions once the definition of their keys is another.

use millstream_control::{
    AssetReport, AssetView, MaterializeRequest, Proposal, Redivided, changes_between, in_vain_words,
};
use millstream_definition::parse_file;
use millstream_model::view::{AssetRow, PartitionState};
use millstream_model::{
    AssetKey, ContentHash, EventBody, FileManifest, FileVersion, Manifest, NoopStep, RunId,
    StepConfig, StepKey, TenantId,
};
use millstream_testkit::definitions::live;

use crate::bench::{Bench, location, request, step_started, step_succeeded};

/// An asset of these partitions, and one that is made from it.
fn file(partitions: &str) -> FileManifest {
    let text = format!(
        "partitions: {{ by: {partitions} }}
assets:
  raw: {{ partitions: by }}
  site: {{ partitions: by, deps: [raw] }}
"
    );
    let parsed = parse_file("defs.yaml", text.as_bytes());
    assert_eq!(parsed.diagnostics, []);
    parsed.manifest.unwrap()
}

fn site() -> AssetKey {
    "site".parse().unwrap()
}

/// Says that partitions of an asset were made.
async fn made(bench: &Bench, asset: &str, keys: &[&str]) {
    for key in keys {
        let report = AssetReport {
            asset: asset.parse().unwrap(),
            partition: Some(key.parse().unwrap()),
            metadata: [].into(),
            data_version: None,
            code_version: None,
            key: None,
        };
        let tenant = TenantId::default_tenant();
        bench.control.report_asset(&tenant, report, "ana").await.unwrap();
    }
}

/// The asset in the list, which says the same as its page.
async fn shown(bench: &Bench) -> (AssetRow, AssetView) {
    let tenant = TenantId::default_tenant();
    let rows = bench.control.listed_assets(&tenant).await.unwrap();
    let row = rows.into_iter().find(|row| row.asset == site()).unwrap();
    let view = bench.control.asset_view(&tenant, &site()).await.unwrap();
    assert_eq!(view.asset.counts, row.counts);
    assert_eq!(view.asset.gone_partitions, row.gone_partitions);
    (row, view)
}

fn counted(row: &AssetRow) -> (u64, u64, u64) {
    let count = |state| row.counts.get(&state).copied().unwrap_or_default();
    (count(PartitionState::Materialized), count(PartitionState::Missing), row.gone_partitions)
}

const DAYS: &str = "{ kind: daily, timezone: UTC, start: 2025-07-01, \
                    end: 2025-07-06 }";

#[tokio::test]
async fn partitions_count_whose_keys_there_are_and_the_others_are_told_apart() {
    let days = |from, to| DAYS.replace("2025-07-01", from).replace("2025-07-06", to);
    let july = ["2025-07-01", "2025-07-02", "2025-07-03", "2025-07-04", "2025-07-05"];
    let moved = days("2025-07-03", "2025-07-10");
    let hourly = DAYS.replace("daily", "hourly").replace("2025-07-06", "2025-07-02");
    let shops = |keys: &str| format!("{{ kind: static, keys: [{keys}] }}");
    let both = |keys: &str| {
        format!("{{ kind: multi, dimensions: {{ day: {DAYS}, shop: {} }} }}", shops(keys))
    };
    let many = |from: u32| {
        let keys: Vec<String> = (from..from + 6_000).map(|it| format!("k{it:05}")).collect();
        shops(&keys.join(", "))
    };
    let cases = [
        (shops("a, b, c"), vec!["a", "b", "c"], shops("a, x, y"), (1, 2, 2)),
        (shops("a, b, c, d"), vec!["a", "b", "c", "d"], shops("a, b"), (2, 0, 2)),
        (DAYS.to_owned(), july.to_vec(), moved, (3, 4, 2)),
        (DAYS.to_owned(), july.to_vec(), hourly, (0, 24, 5)),
        (both("a, b"), vec!["2025-07-01|a", "2025-07-01|b"], both("a, c"), (1, 9, 1)),
        // More than the keys of it that are looked at: the last is among them that are not.
        (many(0), vec!["k00000", "k05999"], many(1), (1, 4_999, 1)),
    ];
    for (before, keys, after, expected) in cases {
        let bench = Bench::of(file(&before)).await;
        made(&bench, "site", &keys).await;
        bench.scan(vec![live("defs.yaml", file(&after))]).await;
        let (row, view) = shown(&bench).await;
        assert_eq!(counted(&row), expected, "{keys:?}");
        let made = view.partitions.iter().filter(|it| it.state == PartitionState::Materialized);
        assert_eq!(made.count() as u64, expected.0, "{keys:?}");
    }
}

#[tokio::test]
async fn what_is_stale_and_why_leave_out_partitions_whose_keys_are_no_more() {
    let shops = |keys: &str| file(&format!("{{ kind: static, keys: [{keys}] }}"));
    let bench = Bench::of(shops("a, b, c")).await;
    made(&bench, "site", &["a", "b", "c"]).await;
    bench.clock.advance(std::time::Duration::from_mins(1));
    made(&bench, "raw", &["a", "b", "c"]).await;
    let said = async || {
        let why = bench.control.why(&TenantId::default_tenant(), "site").await.unwrap();
        let because: Vec<String> = why.because.into_iter().map(|it| it.text).collect();
        (why.answer, because)
    };
    let is_stale = async || shown(&bench).await.1.asset.is_stale;
    assert!(said().await.0.contains("after 3 of its 3 partitions that are made: a, b, c"));

    bench.scan(vec![live("defs.yaml", shops("a, x"))]).await;
    let (answer, because) = said().await;
    assert!(answer.contains("after 1 of its 1 partitions that are made: a"), "{answer}");
    let gone = "2 more partitions are made, of keys that are no more".to_owned();
    assert!(because.contains(&gone), "{because:?}");
    assert_eq!(is_stale().await, Some(true));

    bench.scan(vec![live("defs.yaml", shops("x"))]).await;
    let (answer, _) = said().await;
    assert_eq!(answer, "It was made, but no partition of it that there is now.");
    assert_eq!(is_stale().await, Some(false));
}

/// What it would do to the partitions of `site` to have `to` live.
async fn planned(bench: &Bench, to: FileManifest) -> Option<Redivided> {
    let files = [("defs.yaml".to_owned(), Some(to))].into();
    let changes = bench.control.plan_change(Proposal { files, ..Proposal::default() }).await;
    changes.unwrap().redivided.into_iter().find(|it| it.asset == site())
}

#[tokio::test]
async fn a_plan_says_what_is_made_of_keys_that_are_no_more_and_which_new_ones_are_missing() {
    let shops = |keys: &str| format!("{{ kind: static, keys: [{keys}] }}");
    let july = ["2025-07-01", "2025-07-02", "2025-07-03", "2025-07-04", "2025-07-05"];
    let moved = DAYS.replace("2025-07-01", "2025-07-03").replace("2025-07-06", "2025-07-10");
    let dynamic = |keys: &str| format!("{{ kind: dynamic, keys: [{keys}] }}");
    let abc = vec!["a", "b", "c"];
    let cases = [
        // `d` was missing before, so that nothing new is.
        (shops("a, b, c, d"), abc.clone(), shops("a, d, x, y"), (2, 2)),
        (shops("a, b"), vec!["a"], shops("b, a, x"), (0, 1)),
        (DAYS.to_owned(), july.to_vec(), moved.clone(), (2, 4)),
        (moved, vec!["2025-07-03"], DAYS.replace("daily", "monthly"), (1, 0)),
        // Keys that were added stay, whatever the file lists.
        (dynamic("a, b, c"), abc.clone(), dynamic("a, x"), (1, 1)),
        (dynamic("a"), vec!["a"], shops("a, b, c"), (0, 1)),
    ];
    for (before, keys, after, expected) in cases {
        let bench = Bench::of(file(&before)).await;
        made(&bench, "site", &keys).await;
        if before.contains("dynamic") {
            let (tenant, keys) = (TenantId::default_tenant(), ["b", "z"]);
            let keys = keys.map(|key| key.parse().unwrap());
            let added = bench.control.add_partitions(&tenant, &"by".parse().unwrap(), &keys).await;
            added.unwrap();
        }
        let found = planned(&bench, file(&after)).await.unwrap();
        assert_eq!((found.gone, found.missing), (Some(expected.0), Some(expected.1)), "{after}");
        assert_eq!(planned(&bench, file(&before)).await, None);

        // What a plan says is so afterwards, and it goes back as it came.
        bench.scan(vec![live("defs.yaml", file(&after))]).await;
        assert_eq!(shown(&bench).await.0.gone_partitions, expected.0, "{after}");
        let back = planned(&bench, file(&before)).await.unwrap();
        assert_eq!(back.gone, Some(0), "{after}");
    }
}

#[tokio::test]
async fn a_plan_counts_the_partitions_of_an_asset_that_becomes_one_whole_and_the_other_way_round() {
    let (divided, mut whole) = (file("{ kind: static, keys: [a, b, c] }"), FileManifest::default());
    whole.assets = divided.assets.clone();
    for asset in &mut whole.assets {
        asset.partitions = None;
    }
    let bench = Bench::of(divided.clone()).await;
    made(&bench, "site", &["a", "b"]).await;
    let counts = |it: Redivided| (it.gone, it.missing);
    assert_eq!(planned(&bench, whole.clone()).await.map(counts), Some((Some(2), Some(0))));
    bench.scan(vec![live("defs.yaml", whole.clone())]).await;
    assert_eq!(planned(&bench, divided.clone()).await.map(counts), Some((Some(0), Some(1))));

    // Between two folders nothing is counted.
    let [old, new] = [&divided, &whole].map(|content| {
        let version = FileVersion { name: "defs.yaml".to_owned(), hash: ContentHash::of(b"") };
        Manifest::merge(location(), [(version, content)])
    });
    let found = changes_between(&old, &new, bench.control.now()).redivided;
    assert_eq!(found.into_iter().map(counts).collect::<Vec<_>>(), [(None, None), (None, None)]);
}

/// Has a run make the partition `key` of `site`, whose step then says `words`.
async fn tried(bench: &Bench, key: &str, words: impl FnOnce(StepKey) -> EventBody) -> RunId {
    let wish = MaterializeRequest {
        select: "site".to_owned(),
        partitions: vec![key.parse().unwrap()],
        all_partitions: false,
    };
    let request = request(&TenantId::default_tenant());
    let launched = bench.control.materialize(&request, &wish).await.unwrap();
    let mut worker = bench.start_again(launched.first().unwrap().run_id).await;
    let said =
        vec![step_started("site", 1), words("site".parse().unwrap()), EventBody::RunSucceeded {}];
    worker.say(said).await.unwrap();
    bench.clock.advance(std::time::Duration::from_mins(1));
    worker.run()
}

fn skipped(step: StepKey) -> EventBody {
    EventBody::StepSkipped { step, attempt: 1, reason: "nothing new".to_owned() }
}

fn succeeded(_: StepKey) -> EventBody {
    step_succeeded("site", 1)
}

#[tokio::test]
async fn partitions_whose_last_tries_made_nothing_are_named_with_why() {
    let with_step = |keys: &str| {
        let mut file = file(&format!("{{ kind: static, keys: [{keys}] }}"));
        for asset in &mut file.assets {
            asset.step = Some(StepConfig::Noop(NoopStep {}));
            asset.deps.clear();
        }
        file
    };
    let bench = Bench::of(with_step("a, b, c")).await;
    let said = async || {
        let tenant = TenantId::default_tenant();
        let why = bench.control.why(&tenant, "site").await.unwrap();
        let because: Vec<String> = why.because.into_iter().map(|it| it.text).collect();
        let view = bench.control.asset_view(&tenant, &site()).await.unwrap();
        let in_vain: Vec<String> = view.in_vain.iter().filter_map(in_vain_words).collect();
        for words in &in_vain {
            assert!(because.contains(&format!("its {words}")), "{because:?}");
        }
        (why.answer, in_vain)
    };
    assert_eq!(said().await.1, [""; 0]);
    let at = bench.control.now();
    let run = tried(&bench, "a", skipped).await.short();
    let a = format!("last try of partition a was skipped, in run {run} at {at}: nothing new");
    assert_eq!(said().await, (format!("It was never made. Its {a}."), vec![a.clone()]));

    let at = bench.control.now();
    let run = tried(&bench, "b", succeeded).await.short();
    let b = format!("last try of partition b succeeded and made nothing, in run {run} at {at}");
    assert_eq!(said().await.1, [b.clone(), a.clone()]);
    made(&bench, "site", &["b"]).await;
    assert_eq!(said().await.1, [a]);
    bench.scan(vec![live("defs.yaml", with_step("b, c"))]).await;
    assert_eq!(said().await.1, [""; 0]);
}

#[tokio::test]
async fn a_list_says_of_a_divided_asset_whether_it_is_stale_only_where_nothing_else_could_say_so() {
    let bench = Bench::of(file("{ kind: static, keys: [a, b] }")).await;
    let listed = async || shown(&bench).await.0.is_stale;
    assert_eq!(listed().await, Some(false), "it was never made");
    made(&bench, "site", &["a"]).await;
    assert_eq!(listed().await, Some(false), "nothing that it is made from was made");
    made(&bench, "raw", &["a"]).await;
    assert_eq!(listed().await, None);
}
