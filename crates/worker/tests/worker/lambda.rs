//! Lambda steps within runs: functions that never answer, and an account that has enough.

use std::net::SocketAddr;
use std::time::Duration;

use millstream_model::worker_api::Assignment;
use millstream_model::{
    ErrorCode, EventBody, HumanDuration, Invocation, LambdaStep, RetryPolicy, StepConfig, StepPlan,
};
use serde_json::Map;

use crate::bench::{Bench, noop, run_of};
use crate::http::{answer, serve};

fn bench(address: SocketAddr) -> Bench {
    let mut bench = Bench::new();
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", "id".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ("AWS_ENDPOINT_URL", format!("http://{address}")),
    ] {
        bench.settings.aws.take(name, value);
    }
    bench
}

fn run(plan: StepPlan) -> Assignment {
    let step = LambdaStep {
        function_name: "load".to_owned(),
        invocation_type: Invocation::Sync,
        memory: None,
        store_output_to_s3: false,
        output_s3_key: None,
        payload: Map::new(),
    };
    run_of(vec![StepPlan { step: StepConfig::Lambda(step), ..plan }])
}

#[tokio::test]
async fn r190_r192_a_function_that_never_answers_is_given_up_at_the_step_s_timeout() {
    let (address, _heard) = serve("");
    let bench = bench(address);
    let timeout = HumanDuration::from_secs_f64(0.2);
    bench.run(run(StepPlan { timeout, ..noop("load", &[]) })).await;
    assert_eq!(bench.control.errors()[0].code, ErrorCode::StepTimeout);
}

#[tokio::test]
async fn r192_an_account_that_has_enough_is_asked_again_when_it_says() {
    let (address, _heard) = serve(&answer("429 Too Many Requests", "Retry-After: 900\r\n", "{}"));
    let bench = bench(address);
    let retry = RetryPolicy { max: 2, ..RetryPolicy::NEVER };
    let canceling = async {
        bench.control.heard("step_failed load").await;
        bench.control.cancel();
    };
    tokio::join!(bench.run(run(StepPlan { retry, ..noop("load", &[]) })), canceling);
    let events = bench.control.events();
    let failed = events.iter().find_map(|event| match event {
        EventBody::StepFailed { retry, error, .. } => Some((retry.unwrap().delay(), error)),
        _ => None,
    });
    let (wait, error) = failed.unwrap();
    assert_eq!(wait, Duration::from_mins(15));
    assert_eq!(error.message, "Attempt 1 failed: AWS Lambda rate limit exceeded");
}
