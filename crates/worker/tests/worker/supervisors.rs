//! What becomes of the steps whose supervisor is lost: they have not failed by themselves.

use millstream_blob::LogStream;
use millstream_model::{ErrorCode, EventBody, StepPlan};
use millstream_plan::progress::RunOutcome;
use millstream_worker::RunEnd;
use serde_json::json;

use crate::bench::{Bench, result_of, run_of, shell};
use crate::python::{ALL, bench, python};

/// Ends its supervisor once the step beside it runs.
fn killer() -> StepPlan {
    shell("killer", "until [ -e started ]; do sleep 0.01; done; kill -9 $PPID; sleep 60")
}

/// Asserts that the killer alone has failed, with what it did, and that nothing was retried.
fn assert_one_failed(bench: &Bench, end: &RunEnd) {
    assert!(matches!(end, RunEnd::Finished(RunOutcome::Failed { .. })), "{end:?}");
    let errors = bench.control.errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    let error = errors.first().unwrap();
    assert_eq!(error.code, ErrorCode::StepSupervisor);
    let message = "the supervisor of the step was lost 3 times while it ran; the step may be \
                   killing its parent";
    assert_eq!(error.message, message);
    let starts = |event: &EventBody| matches!(event, EventBody::StepStarted { .. });
    assert_eq!(bench.control.events().iter().filter(|event| starts(event)).count(), 2);
}

#[tokio::test]
async fn a_step_that_ends_its_supervisor_fails_by_that_and_the_one_beside_it_does_not() {
    let bench = Bench::new();
    let beside = "cat $MILLSTREAM_RESULT; echo begins; echo '{\"done\": 1}' > $MILLSTREAM_RESULT; \
                  touch started; sleep 0.5";
    let end = bench.run(run_of(vec![killer(), shell("beside", beside)])).await;
    assert_one_failed(&bench, &end);
    assert_eq!(result_of(&bench.control, "beside"), json!({"done": 1}));
    // Each time it begins in a folder of its own.
    assert_eq!(bench.log("beside", 1, LogStream::Out).await, "begins\nbegins\n");
}

#[tokio::test]
async fn a_function_whose_process_went_with_its_supervisor_is_called_again() {
    let text = "import time\ndef work():\n    open('started', 'w').close()\n    \
                time.sleep(0.5)\n    return 7\n";
    for isolation in ALL {
        let bench = bench(&[("tasks.py", text)]);
        let beside = python("beside", isolation, "tasks.py:work");
        let end = bench.run(run_of(vec![killer(), beside])).await;
        assert_one_failed(&bench, &end);
        assert_eq!(result_of(&bench.control, "beside"), json!(7), "{isolation:?}");
    }
}
