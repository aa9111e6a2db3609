//! Dagster Pipes with its real clients: the Python package and the Rust crate, unmodified, and
//! what becomes of a program that speaks it badly.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use millstream_blob::LogStream;
use millstream_model::MetadataKind as K;
use millstream_model::partitions::TimeWindow;
use millstream_model::view::CODE_ELSEWHERE;
use millstream_model::worker_api::{Assignment, Provenance};
use millstream_model::{
    AssetStep, CheckSeverity, CommandLine, CommandStep, ErrorCode, EventBody, FolderIo, IoDef,
    PipesChannel, PipesConfig, StepConfig, StepPlan, StepSources,
};
use millstream_plan::progress::RunOutcome;
use millstream_worker::RunEnd;
use serde_json::{Value, json};

use crate::bench::{Bench, noop, result_of, run_id, run_of};

pub(crate) const CHANNELS: &[PipesChannel] = &[
    PipesChannel::File,
    PipesChannel::Stdout,
    PipesChannel::Stderr,
    PipesChannel::BufferedStdout,
    PipesChannel::BufferedStderr,
];

/// A Python with the package `dagster-pipes`; without one, says so, and fails where `CI` is set.
pub(crate) fn python() -> Option<PathBuf> {
    let named = std::env::var_os("TEST_PIPES_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| PathBuf::from("python3"));
    let has_package = Command::new(&python)
        .args(["-c", "import dagster_pipes"])
        .output()
        .is_ok_and(|output| output.status.success());
    if has_package {
        return std::path::absolute(which(python)).ok();
    }
    missing("a Python with `pip install dagster-pipes`; set TEST_PIPES_PYTHON to it");
    None
}

/// The program at a bare name, as the shell finds it.
fn which(program: PathBuf) -> PathBuf {
    if program.components().count() > 1 {
        return program;
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&folders).map(|folder| folder.join(&program));
    found.find(|path| path.is_file()).unwrap_or(program)
}

/// The client of the example `pipes_client`, which `cargo test` of this package builds.
fn rust_client() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_BIN_EXE_millstream-supervisor"));
    let client = beside.parent()?.join("examples/pipes_client");
    if client.is_file() {
        return Some(client);
    }
    missing("the example `pipes_client`: `cargo build -p millstream-worker --examples`");
    None
}

#[expect(clippy::print_stderr, reason = "this is how a test says that it did not run")]
fn missing(what: &str) {
    let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!is_ci, "CI runs every test, and this one needs {what}");
    eprintln!("skipped: needs {what}");
}

fn command(words: &[&str], pipes: PipesConfig) -> StepPlan {
    let command = CommandLine::Argv(words.iter().map(|word| (*word).to_owned()).collect());
    spoken(command, pipes)
}

fn shell(line: &str) -> StepPlan {
    spoken(CommandLine::Shell(line.to_owned()), PipesConfig::default())
}

fn spoken(command: CommandLine, pipes: PipesConfig) -> StepPlan {
    let step = CommandStep {
        command,
        env: BTreeMap::new(),
        cwd: None,
        pipes,
        sources: StepSources::default(),
    };
    StepPlan { step: StepConfig::Command(step), ..noop("speak", &[]) }
}

fn through(messages: PipesChannel) -> PipesConfig {
    PipesConfig { messages, ..PipesConfig::default() }
}

pub(crate) fn asset(key: &str) -> AssetStep {
    AssetStep {
        key: key.parse().unwrap(),
        partition: None,
        window: None,
        io: None,
        inputs: Vec::new(),
        code_version: "c1".to_owned(),
        output_required: true,
    }
}

fn making(key: &str, step: StepPlan) -> Assignment {
    run_of(vec![StepPlan { asset: Some(asset(key)), ..step }])
}

fn script(bench: &Bench, text: &str) -> String {
    let path = bench.settings.root.join("step.py");
    std::fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

pub(crate) fn materializations(bench: &Bench) -> Vec<EventBody> {
    let is_one = |event: &EventBody| matches!(event, EventBody::Materialized { .. });
    bench.control.events().into_iter().filter(is_one).collect()
}

pub(crate) const SUCCEEDED: RunEnd = RunEnd::Finished(RunOutcome::Succeeded);

const SPEAKS: &str = r#"
import os, sys
from dagster_pipes import open_dagster_pipes
print("before")
with open_dagster_pipes() as pipes:
    pipes.log.info("hello world")
    pipes.report_asset_materialization(
        metadata={"rows": 3, "ratio": float("nan"), "doc": {"raw_value": "**hi**", "type": "md"},
                  "cols": {"raw_value": {"columns": []}, "type": "table_schema"}},
        data_version="v1")
    pipes.report_asset_check("fresh", passed=False, severity="WARN", metadata={"age": 1.5})
    pipes.report_custom_message({
        "asset": pipes.asset_key, "version": pipes.code_version, "run": pipes.run_id,
        "job": pipes.job_name, "retry": pipes.retry_number, "extra": pipes.get_extra("speed"),
        "provenance": pipes.provenance, "partitioned": pipes.is_partition_step})
print("after")
"#;

#[tokio::test]
async fn the_python_client_speaks_through_every_channel_and_its_log_stays_clean() {
    let Some(python) = python() else { return };
    for channel in CHANNELS {
        let bench = Bench::new();
        let script = script(&bench, SPEAKS);
        let extras = json!({ "speed": 7 }).as_object().unwrap().clone();
        let pipes = PipesConfig { messages: *channel, extras };
        let step = command(&[&python.to_string_lossy(), &script], pipes);
        assert_eq!(bench.run(making(r"my/a\/b", step)).await, SUCCEEDED, "{channel:?}");
        let made = materializations(&bench);
        let [EventBody::Materialized { asset, metadata, data_version, code_version, .. }] =
            made.as_slice()
        else {
            panic!("{channel:?}: {made:?}");
        };
        assert_eq!(asset.parts(), ["my", "a/b"]);
        assert_eq!((data_version.as_deref(), code_version.as_str()), (Some("v1"), "c1"));
        let kinds: Vec<K> = metadata.values().map(|value| value.kind).collect();
        assert_eq!(kinds, [K::TableSchema, K::Md, K::Text, K::Int], "{metadata:?}");
        let checked = bench.control.events().into_iter().find_map(|event| match event {
            EventBody::AssetChecked { check, passed, severity, .. } => {
                Some((check, passed, severity))
            }
            _ => None,
        });
        assert_eq!(checked, Some(("fresh".to_owned(), false, CheckSeverity::Warn)));
        let told = json!({
            "asset": r"my/a\/b", "version": "c1", "run": run_id(), "job": "job", "retry": 0,
            "extra": 7, "provenance": null, "partitioned": false,
        });
        assert_eq!(result_of(&bench.control, "speak"), told);
        let out = bench.log("speak", 1, LogStream::Out).await;
        // Messages are listened to from time to time, so where among the output is not said.
        let lines: std::collections::BTreeSet<&str> = out.lines().collect();
        assert_eq!(lines, ["INFO hello world", "after", "before"].into(), "{channel:?}: {out}");
        assert_eq!(out.lines().count(), 3, "{channel:?}: {out}");
        assert_eq!(bench.log("speak", 1, LogStream::Err).await, "", "{channel:?}");
    }
}

#[tokio::test]
async fn the_python_client_is_told_where_its_asset_came_from_last_time() {
    let Some(python) = python() else { return };
    let bench = Bench::new();
    let text = r"
from dagster_pipes import open_dagster_pipes
with open_dagster_pipes() as pipes:
    last = pipes.provenance
    names = ['code_version', 'input_data_versions', 'is_user_provided']
    pipes.report_custom_message([last[name] for name in names])
";
    let step =
        command(&[&python.to_string_lossy(), &script(&bench, text)], through(PipesChannel::File));
    let mut run = making("orders", step);
    let provenance = Provenance {
        code_version: "c0".to_owned(),
        input_data_versions: BTreeMap::from([("raw/orders".parse().unwrap(), "d1".to_owned())]),
        is_user_provided: true,
    };
    run.provenance.insert("orders".parse().unwrap(), provenance);
    assert_eq!(bench.run(run).await, SUCCEEDED, "{:?}", bench.control.errors());
    assert_eq!(result_of(&bench.control, "speak"), json!(["c0", { "raw/orders": "d1" }, true]));
}

#[tokio::test]
async fn the_python_client_is_told_its_partition_and_takes_its_parameters_as_arguments() {
    let Some(python) = python() else { return };
    let bench = Bench::new();
    let text = r#"
from dagster_pipes import PipesCliArgsParamsLoader, open_dagster_pipes
with open_dagster_pipes(params_loader=PipesCliArgsParamsLoader()) as pipes:
    pipes.report_custom_message([pipes.partition_key, pipes.partition_key_range["end"],
                                 pipes.partition_time_window["start"]])
"#;
    let script = script(&bench, text);
    let line = format!(
        "C=$DAGSTER_PIPES_CONTEXT M=$DAGSTER_PIPES_MESSAGES; \
         unset DAGSTER_PIPES_CONTEXT DAGSTER_PIPES_MESSAGES; \
         {} {script} --dagster-pipes-context \"$C\" --dagster-pipes-messages \"$M\"",
        python.display()
    );
    let time = |text: &str| serde_json::from_value(json!(text)).unwrap();
    let window =
        TimeWindow { start: time("2024-03-01T00:00:00Z"), end: time("2024-03-02T00:00:00Z") };
    let made = AssetStep {
        partition: Some("2024-03-01".parse().unwrap()),
        window: Some(window),
        ..asset("days")
    };
    assert_eq!(
        bench.run(run_of(vec![StepPlan { asset: Some(made), ..shell(&line) }])).await,
        SUCCEEDED
    );
    assert_eq!(
        result_of(&bench.control, "speak"),
        json!(["2024-03-01", "2024-03-01", "2024-03-01T00:00:00+00:00"])
    );
}

#[tokio::test]
async fn output_that_the_python_client_catches_comes_after_closed_and_is_kept() {
    let Some(python) = python() else { return };
    let bench = Bench::new();
    let text = r#"
import base64, json, os, zlib
name = "DAGSTER_PIPES_MESSAGES"
params = json.loads(zlib.decompress(base64.b64decode(os.environ[name])))
params["include_stdio_in_messages"] = True
os.environ[name] = base64.b64encode(zlib.compress(json.dumps(params).encode())).decode()
from dagster_pipes import open_dagster_pipes
with open_dagster_pipes() as pipes:
    print("caught", flush=True)
    pipes.report_asset_materialization()
"#;
    let step = command(&[&python.to_string_lossy(), &script(&bench, text)], PipesConfig::default());
    assert_eq!(bench.run(making("a", step)).await, SUCCEEDED);
    assert_eq!(materializations(&bench).len(), 1);
    let out = bench.log("speak", 1, LogStream::Out).await;
    assert!(out.lines().any(|line| line == "caught"), "{out}");
}

#[tokio::test]
async fn a_context_that_is_too_large_for_a_variable_comes_in_a_file() {
    let Some(python) = python() else { return };
    let bench = Bench::new();
    let text = r#"
from dagster_pipes import open_dagster_pipes
with open_dagster_pipes() as pipes:
    pipes.report_custom_message(len(pipes.get_extra("trigger")["text"]))
"#;
    let step = command(&[&python.to_string_lossy(), &script(&bench, text)], PipesConfig::default());
    let mut run = run_of(vec![step]);
    run.context.insert("text".to_owned(), "x".repeat(500_000).into());
    assert_eq!(bench.run(run).await, SUCCEEDED);
    assert_eq!(result_of(&bench.control, "speak"), json!(500_000));
}

#[tokio::test]
async fn templates_of_extras_are_filled_like_those_of_params() {
    let Some(python) = python() else { return };
    let bench = Bench::new();
    let text = r#"
from dagster_pipes import open_dagster_pipes
with open_dagster_pipes() as pipes:
    pipes.report_custom_message([pipes.get_extra("told"), pipes.get_extra("run")])
"#;
    let extras = json!({ "told": ["{{ run.job }}", "{{ trigger.n }}"], "run": "of {{ tenant }}" });
    let extras = extras.as_object().unwrap().clone();
    let pipes = PipesConfig { extras, ..PipesConfig::default() };
    let step = command(&[&python.to_string_lossy(), &script(&bench, text)], pipes);
    let mut run = run_of(vec![step]);
    run.context.insert("n".to_owned(), 7.into());
    assert_eq!(bench.run(run).await, SUCCEEDED);
    assert_eq!(result_of(&bench.control, "speak"), json!([["job", 7], "of default"]));
}

#[tokio::test]
async fn an_exception_of_the_python_client_is_the_step_s_error_with_its_traceback() {
    let Some(python) = python() else { return };
    let bench = Bench::new();
    let text = r#"
from dagster_pipes import open_dagster_pipes
with open_dagster_pipes() as pipes:
    pipes.report_asset_materialization()
    try:
        raise ValueError("inner")
    except ValueError as error:
        raise RuntimeError("outer") from error
"#;
    let step = command(&[&python.to_string_lossy(), &script(&bench, text)], PipesConfig::default());
    bench.run(making("a", step)).await;
    let error = &bench.control.errors()[0];
    assert_eq!(error.code, ErrorCode::StepExit);
    assert_eq!(error.message, "the process exited with code 1: RuntimeError: outer");
    let detail = error.detail.as_deref().unwrap();
    assert!(detail.contains("ValueError: inner") && detail.ends_with("outer"), "{detail}");
    assert_eq!(materializations(&bench).len(), 1, "what was made before stays made");
}

#[tokio::test]
async fn the_rust_client_speaks_through_every_channel() {
    let Some(client) = rust_client() else { return };
    for channel in CHANNELS {
        let bench = Bench::new();
        let step = command(&[&client.to_string_lossy(), "orders"], through(*channel));
        assert_eq!(bench.run(making("orders", step)).await, SUCCEEDED, "{channel:?}");
        let made = materializations(&bench);
        let [EventBody::Materialized { metadata, data_version, .. }] = made.as_slice() else {
            panic!("{channel:?}: {made:?}");
        };
        assert_eq!(data_version.as_deref(), Some("v7"));
        assert_eq!((metadata["rows"].kind, metadata["job"].kind), { (K::Int, K::Job) });
        let told = result_of(&bench.control, "speak");
        assert_eq!((&told["run"], &told["assets"]), (&json!(run_id()), &json!(["orders"])));
        let out = bench.log("speak", 1, LogStream::Out).await;
        assert_eq!(out, "WARNING a word from rust\n", "{channel:?}");
    }
}

#[tokio::test]
async fn the_rust_client_closes_twice_and_only_its_exit_code_fails_the_step() {
    let Some(client) = rust_client() else { return };
    let bench = Bench::new();
    let words = [&*client.to_string_lossy(), "orders", "fail"];
    bench.run(making("orders", command(&words, PipesConfig::default()))).await;
    assert_eq!(bench.control.errors()[0].message, "the process exited with code 3");
    assert_eq!(bench.log("speak", 1, LogStream::Err).await, "", "nothing odd to remark on");
}

/// A line for the shell that writes `messages` to the file for messages.
///
/// The path of the file is that of the step's folder with another ending.
fn writing(messages: &[&str]) -> String {
    let quoted: Vec<String> = messages.iter().map(|message| format!("'{message}'")).collect();
    format!("printf '%s\\n' {} >> \"$TMPDIR.messages\"", quoted.join(" "))
}

fn message(method: &str, params: &Value) -> String {
    json!({ "__dagster_pipes_version": "0.1", "method": method, "params": params }).to_string()
}

#[tokio::test]
async fn a_report_is_heard_while_the_step_still_runs() {
    let bench = Bench::new();
    let go = bench.folder.path().join("go");
    let made = message("report_asset_materialization", &json!({ "asset_key": "a" }));
    let line = format!(
        "{}; until [ -e {} ]; do sleep 0.01; done",
        writing(&[&message("opened", &json!({})), &made, &message("closed", &json!({}))]),
        go.display()
    );
    let listener = async {
        bench.control.heard("materialized speak").await;
        assert!(!bench.control.told().contains(&"step_succeeded speak".to_owned()));
        std::fs::write(&go, "").unwrap();
    };
    let (end, ()) = tokio::join!(bench.run(making("a", shell(&line))), listener);
    assert_eq!(end, SUCCEEDED);
    assert_eq!(materializations(&bench).len(), 1);
}

#[tokio::test]
async fn what_an_op_reports_was_made_by_code_that_nobody_has_named() {
    let bench = Bench::new();
    let made = message("report_asset_materialization", &json!({ "asset_key": "a" }));
    assert_eq!(bench.run(run_of(vec![shell(&writing(&[&made]))])).await, SUCCEEDED);
    let made = materializations(&bench);
    let [EventBody::Materialized { code_version, .. }] = made.as_slice() else {
        panic!("{made:?}");
    };
    assert_eq!(code_version, CODE_ELSEWHERE);
}

#[tokio::test]
async fn garbage_is_kept_in_the_log_and_the_last_line_needs_no_end() {
    let bench = Bench::new();
    let made = message("report_asset_materialization", &json!({ "asset_key": "a" }));
    let line = format!(
        "{}; printf '%s' '{made}' >> \"$TMPDIR.messages\"",
        writing(&["garbage {", &message("dance", &json!({}))])
    );
    assert_eq!(bench.run(making("a", shell(&line))).await, SUCCEEDED);
    assert_eq!(materializations(&bench).len(), 1);
    assert_eq!(bench.log("speak", 1, LogStream::Out).await, "garbage {\n");
    let remarks = bench.log("speak", 1, LogStream::Err).await;
    assert_eq!(remarks.lines().count(), 2, "{remarks}");
}

#[tokio::test]
async fn a_message_of_megabytes_is_read_from_an_output() {
    let bench = Bench::new();
    let line = r#"printf '{"__dagster_pipes_version": "0.1", "method": "report_custom_message", "params": {"payload": "'
        head -c 3000000 /dev/zero | tr '\0' x
        printf '"}}\n'"#;
    let command = CommandLine::Shell(line.to_owned());
    let step = spoken(command, through(PipesChannel::Stdout));
    assert_eq!(bench.run(run_of(vec![step])).await, SUCCEEDED);
    assert_eq!(bench.log("speak", 1, LogStream::Out).await, "");
    let is_stored = bench
        .control
        .events()
        .iter()
        .any(|event| matches!(event, EventBody::StepSucceeded { result_ref: Some(_), .. }));
    assert!(is_stored, "the message is the step's result");
}

#[tokio::test]
async fn a_program_that_reports_its_asset_need_not_leave_anything_for_the_io_manager() {
    let bench = Bench::new();
    let made = message("report_asset_materialization", &json!({ "asset_key": "a" }));
    let io = Some(IoDef::Json(FolderIo { base: "lake".to_owned() }));
    let made =
        StepPlan { asset: Some(AssetStep { io, ..asset("a") }), ..shell(&writing(&[&made])) };
    assert_eq!(bench.run(run_of(vec![made])).await, SUCCEEDED);
    assert_eq!(materializations(&bench).len(), 1);
}

#[tokio::test]
async fn what_a_program_reports_and_need_not_make_is_told_from_what_was_not_made() {
    let made = message("report_asset_materialization", &json!({ "asset_key": "a" }));
    let reported = json!({ "reported": true });
    for (line, wanted) in [(writing(&[&made]), reported), ("true".to_owned(), Value::Null)] {
        let bench = Bench::new();
        let asset = AssetStep { output_required: false, ..asset("a") };
        let step = StepPlan { asset: Some(asset), ..shell(&line) };
        assert_eq!(bench.run(run_of(vec![step])).await, SUCCEEDED);
        assert_eq!(result_of(&bench.control, "speak"), wanted, "{line}");
    }
}

#[tokio::test]
async fn a_step_whose_pipes_are_off_is_told_nothing_of_them() {
    let bench = Bench::new();
    let line = r#"[ -z "$DAGSTER_PIPES_CONTEXT$DAGSTER_PIPES_MESSAGES" ]"#;
    let command = CommandLine::Shell(line.to_owned());
    let step = spoken(command, through(PipesChannel::Off));
    assert_eq!(bench.run(making("a", step)).await, SUCCEEDED);
    assert_eq!(materializations(&bench).len(), 1, "the step's end tells of its asset");
}
