//! What the steps of a run read of an asset that a step of the same run was to make and did not.

use std::collections::BTreeMap;

use millstream_blob::LogStream;
use millstream_model::worker_api::{Assignment, StepProgress};
use millstream_model::{
    AssetStep, FolderIo, InputSource, IoDef, LoadMode, LoadStep, ReadSource, ResourceDef, SqlStep,
    StepConfig, StepInput, StepPlan, StepStatus,
};
use serde_json::{Value, json};

use crate::bench::{Bench, noop, result_of, run_of, shell};

fn lake() -> IoDef {
    IoDef::Csv(FolderIo { base: "lake".to_owned() })
}

fn asset(key: &str) -> AssetStep {
    AssetStep {
        key: key.parse().unwrap(),
        partition: None,
        window: None,
        io: None,
        inputs: Vec::new(),
        code_version: "v1".to_owned(),
        output_required: true,
    }
}

/// The asset `o`, which need not be made, and whose step returns `rows`.
fn made(rows: &str) -> StepPlan {
    let line = format!("printf %s '{rows}' > \"$MILLSTREAM_RESULT\"");
    let asset = AssetStep { io: Some(lake()), output_required: false, ..asset("o") };
    StepPlan { asset: Some(asset), ..shell("o", &line) }
}

/// `step` as one that reads `o`.
fn reading(step: StepPlan) -> StepPlan {
    let source = InputSource::Io(lake());
    let input = StepInput { asset: "o".parse().unwrap(), partition: None, source, optional: true };
    let asset = AssetStep { inputs: vec![input], ..asset(step.key.as_str()) };
    StepPlan { depends_on: vec!["o".parse().unwrap()], asset: Some(asset), ..step }
}

fn below() -> Vec<StepPlan> {
    let resource = || "warehouse".parse().unwrap();
    let read = BTreeMap::from([("o".to_owned(), ReadSource::Asset("o".parse().unwrap()))]);
    let statements = vec!["SELECT count(*) AS rows, sum(n) AS n FROM o".to_owned()];
    let params = BTreeMap::new();
    let sql =
        SqlStep { resource: resource(), statements, read, params, rows: true, read_only: false };
    let load = LoadStep {
        resource: resource(),
        asset: None,
        table: "loaded".to_owned(),
        schema: None,
        mode: LoadMode::Replace,
        columns: BTreeMap::new(),
    };
    let line = r#"grep -o '"inputs":{"o":{[^}]*}' "$MILLSTREAM_CONTEXT""#;
    vec![
        reading(StepPlan { step: StepConfig::Sql(sql), ..noop("counted", &[]) }),
        reading(StepPlan { step: StepConfig::Load(load), ..noop("loaded", &[]) }),
        reading(shell("program", line)),
    ]
}

fn run(first: StepPlan) -> Assignment {
    let mut run = run_of(std::iter::once(first).chain(below()).collect());
    let path = "w.db".to_owned();
    run.plan.resources.insert("warehouse".parse().unwrap(), ResourceDef::Sqlite { path });
    run
}

/// A bench in which an earlier run has made `o` with two rows.
fn with_earlier_rows() -> Bench {
    let bench = Bench::new();
    let folder = bench.settings.root.join("lake/default/o");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("_.csv"), "n\n1\n2\n").unwrap();
    bench
}

fn counted(bench: &Bench) -> Value {
    assert_eq!(bench.control.errors(), []);
    result_of(&bench.control, "counted").pointer("/rows").cloned().unwrap()
}

async fn assert_nothing_was_read(bench: &Bench, case: &str) {
    assert_eq!(counted(bench), json!([[0, null]]), "{case}");
    let loaded = result_of(&bench.control, "loaded");
    assert_eq!(loaded.pointer("/rows_loaded"), Some(&json!(0)), "{case}");
    let told = "o was not made in this run: no rows are read\n";
    for step in ["counted", "loaded", "program"] {
        let log = bench.log(step, 1, LogStream::Out).await;
        assert!(log.starts_with(told), "{case} {step}: {log}");
    }
    let log = bench.log("program", 1, LogStream::Out).await;
    assert!(log.contains(r#""path":null"#), "{case}: {log}");
}

#[tokio::test]
async fn r040_rows_of_an_earlier_run_are_not_read_where_a_step_of_this_one_made_none() {
    for rows in ["[]", r#"{"columns": ["n"], "rows": []}"#, ""] {
        let bench = with_earlier_rows();
        bench.run(run(made(rows))).await;
        assert_nothing_was_read(&bench, rows).await;
    }
    let bench = with_earlier_rows();
    bench.run(run(made(r#"[{"n": 7}]"#))).await;
    assert_eq!(counted(&bench), json!([[1, 7]]));
}

#[tokio::test]
async fn r040_a_worker_that_takes_over_knows_what_was_not_made() {
    let left = |result: Value| {
        let mut run = run(made("never run"));
        run.progress = vec![StepProgress {
            step: "o".parse().unwrap(),
            status: StepStatus::Success,
            attempt: 1,
            retry_at: None,
            result,
            result_ref: None,
        }];
        run
    };
    let bench = with_earlier_rows();
    bench.run(left(json!([]))).await;
    assert_nothing_was_read(&bench, "taken over").await;
    let bench = with_earlier_rows();
    bench.run(left(json!([{ "n": 1 }, { "n": 2 }]))).await;
    assert_eq!(counted(&bench), json!([[2, 3]]));
}

#[tokio::test]
async fn columns_that_only_the_step_knows_are_those_of_what_was_never_made() {
    let bench = Bench::new();
    bench.run(run(made(r#"{"columns": ["n"], "rows": []}"#))).await;
    assert_nothing_was_read(&bench, "named").await;
    let bench = Bench::new();
    bench.run(run(made("[]"))).await;
    let errors = bench.control.errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    let message = &errors[0].message;
    let told = "input o has neither rows nor columns: its step made nothing in this run";
    assert!(message.starts_with(told) && !message.contains("materialize"), "{message}");
}
