//! Warm processes: how they wait, and are waited for.

use millstream_model::{Isolation, StepPlan};
use millstream_plan::progress::RunOutcome;
use millstream_worker::{Canceler, RunEnd, Seams};

use crate::bench::{noop, result_of, run_of};
use crate::processes::until;
use crate::python::{bench, python};

const FUNCTIONS: &str = r"
import os
def brief(): return os.getpid()
def long():
    sum(range(500_000))
    return os.getpid()
";

fn chain(functions: &[&str]) -> Vec<StepPlan> {
    let mut above: Option<String> = None;
    let mut steps = Vec::new();
    for (place, function) in functions.iter().enumerate() {
        let key = format!("s{place}");
        let step = python(&key, Isolation::Warm, &format!("tasks.py:{function}")).step;
        let after: Vec<&str> = above.as_deref().into_iter().collect();
        steps.push(StepPlan { step, ..noop(&key, &after) });
        above = Some(key);
    }
    steps
}

/// Whether the kernel says that the process waits for something.
fn sleeps(pid: i64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('S'))
}

#[tokio::test]
async fn long_and_brief_steps_take_turns_in_one_process_which_sleeps_after_them() {
    let bench = bench(&[("tasks.py", FUNCTIONS)]);
    let worker = bench.worker();
    let functions = ["brief", "brief", "long", "brief", "brief", "brief", "long", "long", "brief"];
    let (_canceler, signal) = Canceler::new();
    let seams = Seams::system(bench.control.clone());
    let end = worker.run(run_of(chain(&functions)), &seams, signal).await;
    let errors = bench.control.errors();
    assert_eq!(end, RunEnd::Finished(RunOutcome::Succeeded), "{errors:?}");
    let pids = (0..functions.len()).map(|place| result_of(&bench.control, &format!("s{place}")));
    let pids: Vec<i64> = pids.map(|pid| pid.as_i64().unwrap()).collect();
    assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
    until("the process that nobody needs sleeps", || sleeps(pids[0])).await;
}
