//! Functions in Python that speak Dagster Pipes with the official client, in every isolation.

use std::collections::BTreeMap;

use millstream_blob::LogStream;
use millstream_model::{
    ErrorCode, EventBody, HandlerDef, HandlerTarget, Isolation, LocalStep, PipesChannel,
    PipesConfig, PythonStep, StepConfig, StepPlan, StepSources,
};
use serde_json::json;

use crate::bench::{Bench, noop, result_of, run_of};
use crate::pipes::{self, CHANNELS, SUCCEEDED, asset, materializations};

const ALL: [Isolation; 3] = [Isolation::Fork, Isolation::Warm, Isolation::Process];

const SPEAKS: &str = r#"
import os
from dagster_pipes import PipesContext, open_dagster_pipes
def speak():
    print("before")
    with open_dagster_pipes() as pipes:
        pipes.log.info("hello world")
        pipes.report_asset_materialization(metadata={"rows": 3}, data_version="v1")
        pipes.report_asset_check("fresh", passed=True)
        pipes.report_custom_message({"asset": pipes.asset_key, "extra": pipes.get_extra("speed")})
    print("after")
    print("no end", end="")
def fall():
    with open_dagster_pipes() as pipes:
        pipes.report_asset_materialization()
        raise ValueError("no luck")
def survive():
    try:
        fall()
    except ValueError:
        return "survived"
def leave():
    try:
        fall()
    except ValueError:
        os._exit(3)
def look():
    return [name for name in os.environ if name.startswith("DAGSTER_PIPES")]
"#;

/// A project with [`SPEAKS`] whose Python has the client; nothing where there is none.
fn bench() -> Option<Bench> {
    let python = pipes::python()?;
    let mut bench = Bench::new();
    bench.settings.python = python.to_string_lossy().into_owned();
    bench.settings.max_parallel = 1;
    std::fs::write(bench.settings.root.join("speaks.py"), SPEAKS).unwrap();
    Some(bench)
}

fn function(name: &str, isolation: Isolation, messages: PipesChannel) -> PythonStep {
    PythonStep {
        function: format!("speaks.py:{name}"),
        isolation,
        params: serde_json::Map::new(),
        env: BTreeMap::new(),
        interpreter: None,
        pipes: PipesConfig { messages, extras: json!({"speed": 7}).as_object().unwrap().clone() },
        sources: StepSources::default(),
    }
}

fn step(key: &str, function: PythonStep) -> StepPlan {
    StepPlan { step: StepConfig::Python(function), asset: Some(asset(key)), ..noop(key, &[]) }
}

#[tokio::test]
async fn a_function_speaks_in_every_isolation_through_every_channel_again_and_again() {
    let Some(_) = bench() else { return };
    for isolation in ALL {
        for channel in CHANNELS {
            let bench = bench().unwrap();
            let steps = ["one", "two"].map(|key| step(key, function("speak", isolation, *channel)));
            let end = bench.run(run_of(steps.to_vec())).await;
            let errors = bench.control.errors();
            assert_eq!(end, SUCCEEDED, "{isolation:?} {channel:?}: {errors:?}");
            assert_eq!(materializations(&bench).len(), 2, "{isolation:?} {channel:?}");
            for key in ["one", "two"] {
                let said = result_of(&bench.control, key);
                assert_eq!(said, json!({"asset": key, "extra": 7}), "{isolation:?} {channel:?}");
                let out = bench.log(key, 1, LogStream::Out).await;
                let mut lines: Vec<&str> = out.lines().collect();
                lines.sort_unstable();
                let wanted = ["INFO hello world", "after", "before", "no end"];
                // What the worker notes of a message may stand behind the line without an end.
                assert_eq!(lines.concat().len(), wanted.concat().len(), "{isolation:?}: {out}");
                assert!(wanted.iter().all(|line| out.contains(line)), "{channel:?}: {out}");
                let err = bench.log(key, 1, LogStream::Err).await;
                assert_eq!(err, "", "{isolation:?} {channel:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_handler_in_python_speaks_too() {
    let Some(bench) = bench() else { return };
    let local = LocalStep { module: "MyApp.Speak".to_owned(), config: serde_json::Map::new() };
    let target = function("speak", Isolation::Fork, PipesChannel::File);
    let handler =
        HandlerDef { pattern: "MyApp.*".to_owned(), target: HandlerTarget::Python(target) };
    let step = StepPlan {
        step: StepConfig::Local(local),
        handler: Some(handler),
        asset: Some(asset("a")),
        ..noop("a", &[])
    };
    assert_eq!(bench.run(run_of(vec![step])).await, SUCCEEDED);
    assert_eq!(result_of(&bench.control, "a"), json!({"asset": "a", "extra": 7}));
}

#[tokio::test]
async fn an_exception_within_pipes_is_told_once_and_what_was_made_before_stays_made() {
    for isolation in ALL {
        let Some(bench) = bench() else { return };
        bench.run(run_of(vec![step("a", function("fall", isolation, PipesChannel::File))])).await;
        let error = bench.control.errors().pop().unwrap();
        assert_eq!(error.code, ErrorCode::StepPython, "{isolation:?}");
        assert_eq!(error.message, "ValueError: no luck", "{isolation:?}");
        assert_eq!(materializations(&bench).len(), 1, "{isolation:?}");
        assert_eq!(bench.log("a", 1, LogStream::Out).await, "", "{isolation:?}");
    }
}

#[tokio::test]
async fn an_exception_that_the_function_survives_is_a_remark_in_its_log() {
    for isolation in ALL {
        let Some(bench) = bench() else { return };
        let survived = step("a", function("survive", isolation, PipesChannel::File));
        assert_eq!(bench.run(run_of(vec![survived])).await, SUCCEEDED, "{isolation:?}");
        assert_eq!(result_of(&bench.control, "a"), json!("survived"), "{isolation:?}");
        let out = bench.log("a", 1, LogStream::Out).await;
        assert!(out.starts_with("[pipes] closed with "), "{isolation:?}: {out}");
    }
}

#[tokio::test]
async fn a_process_that_ends_within_pipes_has_the_exception_as_its_error() {
    for isolation in ALL {
        let Some(bench) = bench() else { return };
        bench.run(run_of(vec![step("a", function("leave", isolation, PipesChannel::File))])).await;
        let error = bench.control.errors().pop().unwrap();
        assert_eq!(error.code, ErrorCode::StepExit, "{isolation:?}");
        assert!(error.message.contains("exited with code 3"), "{isolation:?}: {error:?}");
        assert!(error.message.ends_with(": ValueError: no luck"), "{isolation:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_function_whose_pipes_are_off_is_told_nothing_of_them() {
    for isolation in ALL {
        let Some(bench) = bench() else { return };
        let look = step("a", function("look", isolation, PipesChannel::Off));
        assert_eq!(bench.run(run_of(vec![look])).await, SUCCEEDED, "{isolation:?}");
        assert_eq!(result_of(&bench.control, "a"), json!([]), "{isolation:?}");
        let made = bench.control.events();
        let made = made.iter().filter(|it| matches!(it, EventBody::Materialized { .. }));
        assert_eq!(made.count(), 1, "the step's own, for it reported nothing");
    }
}
