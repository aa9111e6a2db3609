//! Steps that make assets: what is stored, what is told about it, and how SQL steps take part.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use millstream_blob::LogStream;
use millstream_model::worker_api::Assignment;
use millstream_model::{
    AssetStep, ErrorCode, EventBody, FolderIo, HumanDuration, InputSource, IoDef, MetadataValue,
    ReadSource, ResourceDef, SqlStep, StepConfig, StepInput, StepPlan, Timestamp,
};
use millstream_worker::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::bench::{Bench, Recorder, noop, result_of, run_of, shell};

fn sql(key: &str, statements: &[&str]) -> (StepPlan, SqlStep) {
    let step = SqlStep {
        resource: "warehouse".parse().unwrap(),
        statements: statements.iter().map(|text| (*text).to_owned()).collect(),
        read: BTreeMap::new(),
        params: BTreeMap::new(),
        rows: true,
        read_only: false,
    };
    (noop(key, &[]), step)
}

fn planned((plan, step): (StepPlan, SqlStep)) -> StepPlan {
    StepPlan { step: StepConfig::Sql(step), ..plan }
}

fn lake() -> IoDef {
    IoDef::Csv(FolderIo { base: "lake".to_owned() })
}

fn asset(key: &str, io: Option<IoDef>) -> AssetStep {
    AssetStep {
        key: key.parse().unwrap(),
        partition: None,
        window: None,
        io,
        inputs: Vec::new(),
        code_version: "v1".to_owned(),
        output_required: true,
    }
}

fn with_warehouse(steps: Vec<StepPlan>) -> Assignment {
    let mut run = run_of(steps);
    let path = "{{ tenant.id }}.db".to_owned();
    run.plan.resources.insert("warehouse".parse().unwrap(), ResourceDef::Sqlite { path });
    run
}

/// Metadata and data version of an asset's materialization, if there was one.
fn materialized(
    control: &Recorder,
    wanted: &str,
) -> Option<(BTreeMap<String, MetadataValue>, Option<String>)> {
    control.events().into_iter().find_map(|event| match event {
        EventBody::Materialized { asset, metadata, data_version, .. }
            if asset.to_string() == wanted =>
        {
            Some((metadata, data_version))
        }
        _ => None,
    })
}

#[tokio::test]
async fn sql_rows_go_to_the_io_manager_and_the_next_asset_reads_them() {
    let bench = Bench::new();
    let (plan, step) = sql("values", &["SELECT :tenant AS tenant, 2 AS n UNION SELECT 'x', 3"]);
    let values = StepPlan {
        asset: Some(asset("values", Some(lake()))),
        ..planned((plan, SqlStep { read_only: false, ..step }))
    };
    let (plan, step) = sql("cache", &["SELECT sum(n) AS total, count(*) AS rows FROM extracted"]);
    let read =
        BTreeMap::from([("extracted".to_owned(), ReadSource::Asset("values".parse().unwrap()))]);
    let input = StepInput {
        asset: "values".parse().unwrap(),
        partition: None,
        source: InputSource::Io(lake()),
        optional: false,
    };
    let cache = StepPlan {
        depends_on: vec!["values".parse().unwrap()],
        asset: Some(AssetStep { inputs: vec![input], ..asset("cache", None) }),
        ..planned((plan, SqlStep { read, ..step }))
    };
    bench.run(with_warehouse(vec![values, cache])).await;
    assert_eq!(bench.control.errors(), []);
    let file = bench.settings.root.join("lake/default/values/_.csv");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "tenant,n\ndefault,2\nx,3\n");
    let (metadata, version) = materialized(&bench.control, "values").unwrap();
    assert_eq!(metadata["rows"], MetadataValue::int(2));
    assert!(version.is_some(), "the hash of what was stored");
    let (metadata, _) = materialized(&bench.control, "cache").unwrap();
    assert_eq!(metadata["total"], MetadataValue::int(5));
    assert_eq!(
        result_of(&bench.control, "cache"),
        json!({ "columns": ["total", "rows"], "rows": [[5, 2]] })
    );
    let log = bench.log("values", 1, LogStream::Out).await;
    assert!(log.ends_with(&format!("Wrote to {}\n", file.display())), "{log}");
}

#[tokio::test]
async fn rows_that_are_too_many_for_a_result_say_what_helps_the_step() {
    for (asset, way) in [
        (None, "select less, or write them into a table; an asset keeps them in its `io`"),
        (Some(asset("large", None)), "give the asset an `io`, or select less"),
    ] {
        let bench = Bench::new();
        let step = planned(sql("large", &["SELECT hex(zeroblob(9000000)) AS text"]));
        bench.run(with_warehouse(vec![StepPlan { asset, ..step }])).await;
        let wanted = "the rows cannot be the step's result: they take more than 16 MiB; ";
        assert_eq!(bench.control.errors()[0].message, format!("{wanted}{way}"));
    }
}

#[tokio::test]
async fn a_failed_statement_is_named_and_undone() {
    let bench = Bench::new();
    let step = sql("load", &["CREATE TABLE t (a)", "SELECT * FROM missing"]);
    bench.run(with_warehouse(vec![planned(step)])).await;
    let error = &bench.control.errors()[0];
    assert_eq!(error.code, ErrorCode::StepSql);
    assert_eq!(error.detail.as_deref(), Some("SELECT * FROM missing"));
}

#[tokio::test]
async fn r190_a_timeout_ends_a_statement_that_does_not_end() {
    let bench = Bench::new();
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                   SELECT max(i) AS last FROM n";
    let step = StepPlan {
        timeout: Some(HumanDuration::from_secs(1)),
        ..planned(sql("endless", &[endless]))
    };
    bench.run(with_warehouse(vec![step])).await;
    assert_eq!(bench.control.errors()[0].code, ErrorCode::StepTimeout);
}

/// A clock on which an hour passes as soon as a file is there.
struct HourAt(PathBuf, SystemClock);

impl Clock for HourAt {
    fn now(&self) -> Timestamp {
        let passed = if self.0.exists() { Duration::from_hours(1) } else { Duration::ZERO };
        self.1.now().after(passed)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.1.sleep(duration)
    }
}

#[tokio::test]
async fn a_timeout_is_one_for_the_work_of_a_step_and_for_storing_what_came_of_it() {
    let bench = Bench::new();
    let clock = HourAt(bench.settings.root.join("late"), SystemClock::start());
    let line = r#"echo '{"rows": 1}' > "$MILLSTREAM_RESULT"; touch late"#;
    let step = StepPlan {
        timeout: Some(HumanDuration::from_secs(1_800)),
        asset: Some(asset("orders", Some(IoDef::Json(FolderIo { base: "lake".to_owned() })))),
        ..shell("orders", line)
    };
    bench.run_by(Arc::new(clock), run_of(vec![step])).await;
    let error = &bench.control.errors()[0];
    assert_eq!(error.code, ErrorCode::StepTimeout);
    assert_eq!(error.message, "timeout: the step ran longer than 30m");
    assert!(!bench.settings.root.join("lake").exists(), "it was stored after its time");
}

#[tokio::test]
async fn a_resource_that_is_not_declared_fails_for_good() {
    let bench = Bench::new();
    bench.run(run_of(vec![planned(sql("load", &["SELECT 1"]))])).await;
    assert_eq!(bench.control.errors()[0].code, ErrorCode::StepResource);
}

#[tokio::test]
async fn r039_a_program_says_what_it_made_and_where_its_inputs_are() {
    let bench = Bench::new();
    let input = StepInput {
        asset: "raw/orders".parse().unwrap(),
        partition: None,
        source: InputSource::Io(lake()),
        optional: false,
    };
    let line = r#"grep -q "lake/default/raw/orders/_.csv" "$MILLSTREAM_CONTEXT" &&
        echo '{"metadata": {"rows": 7}, "data_version": "d1"}' > "$MILLSTREAM_RESULT""#;
    let folder = bench.settings.root.join("lake/default/raw/orders");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("_.csv"), "id\n1\n").unwrap();
    let made = AssetStep { inputs: vec![input], ..asset("orders", None) };
    let step = StepPlan { asset: Some(made), ..shell("orders", line) };
    bench.run(run_of(vec![step])).await;
    let (metadata, version) = materialized(&bench.control, "orders").unwrap();
    assert_eq!(metadata["rows"], MetadataValue::int(7));
    assert_eq!(version.as_deref(), Some("d1"));
}

#[tokio::test]
async fn an_asset_that_need_not_be_made_is_only_told_of_when_it_was() {
    let bench = Bench::new();
    let made = AssetStep { output_required: false, ..asset("maybe", Some(lake())) };
    let step = StepPlan { asset: Some(made), ..noop("maybe", &[]) };
    bench.run(run_of(vec![step])).await;
    assert!(materialized(&bench.control, "maybe").is_none());
    assert_eq!(result_of(&bench.control, "maybe"), Value::Null);
}

#[tokio::test]
async fn a_step_without_a_result_for_its_io_manager_fails() {
    let bench = Bench::new();
    let step = StepPlan { asset: Some(asset("made", Some(lake()))), ..noop("made", &[]) };
    bench.run(run_of(vec![step])).await;
    assert_eq!(bench.control.errors()[0].code, ErrorCode::StepResult);
}

#[tokio::test]
async fn what_comes_to_no_rows_is_not_made_unless_it_has_to_be() {
    let bench = Bench::new();
    let step = |key: &str, rows: &str, output_required: bool| {
        let made = AssetStep { output_required, ..asset(key, Some(lake())) };
        let line = format!("echo '{rows}' > \"$MILLSTREAM_RESULT\"");
        StepPlan { asset: Some(made), ..shell(key, &line) }
    };
    let no_rows = r#"{"columns": ["a"], "rows": []}"#;
    let steps = [
        step("list", "[]", false),
        step("columns", no_rows, false),
        step("some", r#"[{"a": 1}]"#, false),
        step("empty", no_rows, true),
        step("required", "[]", true),
    ];
    bench.run(run_of(steps.into())).await;
    let made = |key: &str| materialized(&bench.control, key).is_some();
    let all = ["list", "columns", "some", "empty", "required"].map(made);
    assert_eq!(all, [false, false, true, true, false]);
    assert!(!bench.settings.root.join("lake/default/list").exists());
    assert!(bench.log("list", 1, LogStream::Out).await.contains("there are no rows"));
    let errors = bench.control.errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].message.contains("`output_required: false`"), "{errors:?}");
}

#[tokio::test]
async fn what_a_step_says_of_its_asset_counts_before_what_its_io_manager_says() {
    let bench = Bench::new();
    let line = r#"echo '{"columns": ["a"], "rows": [[1]], "metadata": {"rows": "few", "path": 7}}' \
        > "$MILLSTREAM_RESULT""#;
    let step = StepPlan { asset: Some(asset("orders", Some(lake()))), ..shell("orders", line) };
    bench.run(run_of(vec![step])).await;
    let (metadata, _) = materialized(&bench.control, "orders").unwrap();
    assert_eq!(metadata["rows"], MetadataValue::text("few"));
    assert_eq!(metadata["path"], MetadataValue::int(7));
    assert_eq!(metadata["bytes"], MetadataValue::int(4));
}

#[tokio::test]
async fn a_parameter_of_a_statement_has_the_type_of_the_result_that_it_names() {
    let bench = Bench::new();
    let line = r#"echo '{"n": 5, "none": null, "is": true}' > "$MILLSTREAM_RESULT""#;
    let up = shell("up", line);
    let (plan, mut step) = sql(
        "types",
        &["SELECT typeof(:n) AS n, typeof(:none) AS none, typeof(:is) AS yes, :text AS text"],
    );
    for (name, value) in [
        ("n", "{{ upstream.up.n }}"),
        ("none", "{{ upstream.up.none }}"),
        ("is", "{{ upstream.up.is }}"),
        ("text", "{{ upstream.up.n }}{{ upstream.up.none }}{{ upstream.up.is }}"),
    ] {
        step.params.insert(name.to_owned(), json!(value));
    }
    let types = StepPlan { depends_on: vec!["up".parse().unwrap()], ..planned((plan, step)) };
    bench.run(with_warehouse(vec![up, types])).await;
    assert_eq!(bench.control.errors(), []);
    let rows = &result_of(&bench.control, "types")["rows"];
    assert_eq!(rows, &json!([["integer", "null", "integer", "5true"]]));
}

#[tokio::test]
async fn numbers_of_more_than_64_bits_keep_their_digits_and_the_log_tells() {
    let bench = Bench::new();
    let rows = r#"[{"a": 1180591620717411303424, "c": 12345678901234567890.5, "d": 0.1}]"#;
    let step = |key: &str, io: IoDef| {
        let line = format!("echo '{rows}' > \"$MILLSTREAM_RESULT\"");
        StepPlan { asset: Some(asset(key, Some(io))), ..shell(key, &line) }
    };
    let documents = IoDef::Json(FolderIo { base: "lake".to_owned() });
    bench.run(run_of(vec![step("rows", lake()), step("document", documents)])).await;
    let kept = |name: &str| std::fs::read_to_string(bench.settings.root.join(name)).unwrap();
    let csv = kept("lake/default/rows/_.csv");
    assert_eq!(csv, "a,c,d\n\"1180591620717411303424\",\"12345678901234567890.5\",0.1\n");
    let json = kept("lake/default/document/_.json");
    let wanted = r#"[{"a":"1180591620717411303424","c":"12345678901234567890.5","d":0.1}]"#;
    assert_eq!(json.trim_end(), wanted);
    for key in ["rows", "document"] {
        let log = bench.log(key, 1, LogStream::Out).await;
        let told = "1180591620717411303424 is kept as text, because it has more digits than";
        assert!(log.contains(told), "{log}");
    }
}

#[tokio::test]
async fn statements_whose_rows_nobody_asked_for_are_told_of_the_key_that_asks() {
    let bench = Bench::new();
    let (plan, step) = sql("values", &["SELECT 1 AS n"]);
    let values = StepPlan {
        asset: Some(asset("values", Some(lake()))),
        ..planned((plan, SqlStep { rows: false, ..step }))
    };
    bench.run(with_warehouse(vec![values])).await;
    let error = &bench.control.errors()[0];
    assert_eq!(error.code, ErrorCode::StepResult);
    assert!(error.message.contains("write `rows: true` in the step"), "{}", error.message);
}

#[tokio::test]
async fn what_a_result_says_of_its_asset_in_a_wrong_form_is_left_out_and_the_log_tells() {
    let bench = Bench::new();
    let step = |key: &str, result: &str| {
        let line = format!("echo '{result}' > \"$MILLSTREAM_RESULT\"");
        StepPlan { asset: Some(asset(key, None)), ..shell(key, &line) }
    };
    let wrong = step("wrong", r#"{"n": 1, "metadata": [1], "data_version": 7}"#);
    let none = step("none", r#"{"n": 1, "metadata": null, "data_version": null}"#);
    bench.run(run_of(vec![wrong, none])).await;
    assert_eq!(materialized(&bench.control, "wrong").unwrap(), (BTreeMap::new(), None));
    let log = bench.log("wrong", 1, LogStream::Out).await;
    assert_eq!(
        log,
        "the result's `metadata` is left out, because it is a list and no object\n\
         the result's `data_version` is left out, because it is a number and no text\n"
    );
    assert_eq!(bench.log("none", 1, LogStream::Out).await, "");
}
