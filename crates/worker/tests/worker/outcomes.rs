//! What runs come to: order, results, skips, retries, failures.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use millstream_model::{
    Backoff, Builtin, ErrorCode, EventBody, HandlerDef, HandlerTarget, HumanDuration, LocalStep,
    RetryPolicy, StepConfig, StepPlan, Timestamp,
};
use millstream_plan::progress::RunOutcome;
use millstream_worker::{Canceler, Clock, Entropy, RunEnd, Seams};
use serde_json::json;

use crate::bench::{Bench, noop, result_of, run_of, shell};

fn local(key: &str, handler: Option<Builtin>) -> StepPlan {
    let config = json!({"error": "no luck", "limit": 3}).as_object().unwrap().clone();
    let module = "MyApp.Extract".to_owned();
    StepPlan {
        handler: handler.map(|builtin| HandlerDef {
            pattern: "MyApp.*".to_owned(),
            target: HandlerTarget::Builtin(builtin),
        }),
        step: StepConfig::Local(LocalStep { module, config }),
        ..noop(key, &[])
    }
}

#[tokio::test]
async fn steps_that_do_nothing_go_on_together_unless_the_plan_says_how_many_may() {
    let bench = Bench::new();
    let steps: Vec<_> = (0..40).map(|number| noop(&format!("s{number}"), &[])).collect();
    let end = bench.run(run_of(steps.clone())).await;
    assert_eq!(end, RunEnd::Finished(RunOutcome::Succeeded));
    assert_eq!(bench.control.report_sizes(), [41, 41]);
    let bench = Bench::new();
    let mut run = run_of(steps);
    run.plan.max_parallel = Some(2);
    assert_eq!(bench.run(run).await, RunEnd::Finished(RunOutcome::Succeeded));
    assert_eq!(bench.control.report_sizes()[0], 3);
}

#[tokio::test]
async fn steps_that_do_nothing_go_on_beside_those_that_wait_for_a_place() {
    let bench = Bench::new();
    let mut steps: Vec<_> = (0..300).map(|number| shell(&format!("s{number}"), "true")).collect();
    steps.extend((0..300).map(|number| noop(&format!("n{number}"), &[])));
    assert_eq!(bench.run(run_of(steps)).await, RunEnd::Finished(RunOutcome::Succeeded));
    let told = bench.control.told();
    let place = |word: &str| told.iter().position(|it| it == word).unwrap();
    let until = &told[..place("step_succeeded n0")];
    let together = until.iter().filter(|it| it.starts_with("step_started n")).count();
    assert_eq!(together, 256, "as many as go on at once");
    assert!(place("step_succeeded n299") < place("step_started s299"));
}

#[tokio::test]
async fn a_chain_of_noops_takes_one_report_a_step_and_no_process() {
    let bench = Bench::new();
    let run = run_of(vec![noop("a", &[]), noop("b", &["a"]), noop("c", &["b"])]);
    assert_eq!(bench.run(run).await, RunEnd::Finished(RunOutcome::Succeeded));
    assert_eq!(
        bench.control.told(),
        [
            "run_started",
            "step_started a",
            "step_succeeded a",
            "step_started b",
            "step_succeeded b",
            "step_started c",
            "step_succeeded c",
            "run_succeeded"
        ]
    );
    assert_eq!(bench.control.report_sizes(), [2, 2, 2, 2]);
    assert!(!bench.folder.path().join("scratch").exists());
}

#[tokio::test]
async fn r189_a_step_sees_the_results_of_its_direct_upstream_steps_and_the_trigger() {
    let bench = Bench::new();
    let fetch = shell("fetch", r#"echo '{"records": 500}' > "$MILLSTREAM_RESULT""#);
    let validate = StepPlan {
        depends_on: vec!["fetch".parse().unwrap()],
        ..shell(
            "validate",
            r#"test {{ upstream.fetch.records }} = 500 && cp "$MILLSTREAM_CONTEXT" "$MILLSTREAM_RESULT""#,
        )
    };
    let save = StepPlan {
        depends_on: vec!["validate".parse().unwrap()],
        ..local("save", Some(Builtin::Echo))
    };
    let mut run = run_of(vec![fetch, validate, save]);
    run.context.insert("city".to_owned(), json!("Oslo"));
    assert_eq!(bench.run(run).await, RunEnd::Finished(RunOutcome::Succeeded));
    let seen = result_of(&bench.control, "validate");
    assert_eq!(seen["upstream_results"], json!({"fetch": {"records": 500}}));
    assert_eq!(seen["trigger"], json!({"city": "Oslo"}));
    let seen = result_of(&bench.control, "save");
    assert_eq!(seen["upstream_results"].as_object().unwrap().len(), 1, "only direct ones");
    assert_eq!(seen["config"]["limit"], json!(3));
}

#[tokio::test]
async fn the_texts_in_the_config_of_a_handler_are_templates() {
    let with = |config: serde_json::Value| {
        let module = "MyApp.Extract".to_owned();
        let config = config.as_object().unwrap().clone();
        let step = StepConfig::Local(LocalStep { module, config });
        run_of(vec![StepPlan { step, ..local("a", Some(Builtin::Echo)) }])
    };
    let bench = Bench::new();
    let mut run = with(json!({
        "city": "{{ name }}", "list": [{ "n": "{{ 1 + 1 }}" }], "own": "{% raw %}{{ x }}{% endraw %}",
    }));
    run.context.insert("name".to_owned(), json!("Oslo"));
    assert_eq!(bench.run(run).await, RunEnd::Finished(RunOutcome::Succeeded));
    let wanted = json!({ "city": "Oslo", "list": [{ "n": 2 }], "own": "{{ x }}" });
    assert_eq!(result_of(&bench.control, "a")["config"], wanted);
    let bench = Bench::new();
    bench.run(with(json!({ "city": "{{ nothing }}" }))).await;
    assert_eq!(bench.control.errors()[0].code, ErrorCode::StepTemplate);
}

#[tokio::test]
async fn r136_a_skipped_step_is_no_failure_and_its_reason_is_told() {
    let bench = Bench::new();
    let line = r#"echo '{"status": "skipped", "reason": "capacity 0"}' > "$MILLSTREAM_RESULT""#;
    let run = run_of(vec![shell("scale", line), noop("after", &["scale"])]);
    assert_eq!(bench.run(run).await, RunEnd::Finished(RunOutcome::Succeeded));
    let told = bench.control.told();
    assert!(told.contains(&"step_skipped scale".to_owned()), "{told:?}");
    assert!(told.contains(&"step_skipped after".to_owned()), "{told:?}");
}

#[tokio::test]
async fn r191_retry_3_means_4_attempts_and_each_says_which_it_was() {
    let bench = Bench::new();
    let retry = RetryPolicy {
        max: 3,
        delay: HumanDuration(Duration::from_millis(5)),
        backoff: Backoff::Exponential,
        jitter: true,
    };
    let step = StepPlan { retry, ..shell("flaky", "echo boom >&2; exit 3") };
    let end = bench.run(run_of(vec![step])).await;
    let RunEnd::Finished(RunOutcome::Failed { reason }) = end else { panic!("{end:?}") };
    assert_eq!(reason, "step `flaky` failed: the process exited with code 3");
    let errors = bench.control.errors();
    let messages: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "Attempt 1 failed: the process exited with code 3",
            "Attempt 2 failed: the process exited with code 3",
            "Attempt 3 failed: the process exited with code 3",
            "the process exited with code 3"
        ]
    );
    assert_eq!(errors[0].detail.as_deref(), Some("boom"));
    assert_eq!(bench.log("flaky", 4, millstream_blob::LogStream::Err).await, "boom\n");
}

#[tokio::test]
async fn r188_a_module_without_a_handler_fails_for_good_and_is_named() {
    let bench = Bench::new();
    let retry = RetryPolicy { max: 3, ..RetryPolicy::NEVER };
    let step = StepPlan { retry, ..local("extract", None) };
    bench.run(run_of(vec![step])).await;
    let errors = bench.control.errors();
    assert_eq!(errors.len(), 1, "another attempt cannot help");
    assert_eq!(errors[0].code, ErrorCode::HandlerUnknown);
    assert!(errors[0].message.starts_with("Failed to load module MyApp.Extract"));
}

#[tokio::test]
async fn r194_a_failure_blocks_what_is_below_it_and_nothing_else() {
    let bench = Bench::new();
    let run = run_of(vec![
        local("bad", Some(Builtin::Fail)),
        noop("below", &["bad"]),
        noop("beside", &[]),
    ]);
    let end = bench.run(run).await;
    let reason = "step `bad` failed: no luck".to_owned();
    assert_eq!(end, RunEnd::Finished(RunOutcome::Failed { reason }));
    let told = bench.control.told();
    assert!(told.contains(&"step_upstream_failed below".to_owned()), "{told:?}");
    assert!(told.contains(&"step_succeeded beside".to_owned()), "{told:?}");
}

#[tokio::test]
async fn a_large_result_is_stored_and_still_reaches_the_next_step() {
    let bench = Bench::new();
    let line =
        r#"(printf '"'; head -c 100000 /dev/zero | tr '\0' x; printf '"') > "$MILLSTREAM_RESULT""#;
    let next = StepPlan {
        depends_on: vec!["big".parse().unwrap()],
        ..shell("next", "echo {{ upstream.big | length }}")
    };
    bench.run(run_of(vec![shell("big", line), next])).await;
    assert_eq!(bench.log("next", 1, millstream_blob::LogStream::Out).await, "100000\n");
    assert!(result_of(&bench.control, "big").is_null(), "it is not in the event");
}

/// A clock that jumps ahead instead of waiting.
#[derive(Clone)]
struct JumpingClock(Arc<Mutex<Timestamp>>);

impl Clock for JumpingClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let now = Arc::clone(&self.0);
        Box::pin(async move {
            let mut now = now.lock().unwrap();
            *now = now.after(duration);
        })
    }
}

/// Chance that always says the same.
struct Always(f64);

impl Entropy for Always {
    fn unit(&self) -> f64 {
        self.0
    }
}

#[tokio::test]
async fn r037_the_waits_between_attempts_double_within_their_jitter() {
    let bench = Bench::new();
    let retry = RetryPolicy {
        max: 2,
        delay: HumanDuration::from_secs(2),
        backoff: Backoff::Exponential,
        jitter: true,
    };
    let step = StepPlan { retry, ..local("flaky", Some(Builtin::Fail)) };
    let started = Timestamp::from_micros(0);
    let clock = JumpingClock(Arc::new(Mutex::new(started)));
    let seams = Seams {
        control: bench.control.clone(),
        clock: Arc::new(clock.clone()),
        entropy: Arc::new(Always(1.0)),
    };
    let (_canceler, signal) = Canceler::new();
    bench.worker().run(run_of(vec![step]), &seams, signal).await;
    let waits: Vec<Option<Duration>> = bench
        .control
        .events()
        .into_iter()
        .filter_map(|event| match event {
            EventBody::StepFailed { retry, .. } => Some(retry.map(|retry| retry.delay())),
            _ => None,
        })
        .collect();
    let millis = Duration::from_millis;
    assert_eq!(waits, [Some(millis(2_500)), Some(millis(5_000)), None]);
    assert!(clock.now().since(started) >= millis(7_500), "the waits were waited");
}
