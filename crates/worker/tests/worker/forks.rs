//! What is over when a step in a fork is, whose process may go a moment later.

use millstream_model::{Isolation, StepPlan};
use millstream_plan::progress::RunOutcome;
use millstream_worker::RunEnd;

use crate::bench::{noop, result_of, run_of};
use crate::python::{bench, python};

const FUNCTIONS: &str = r"
import fcntl, os, threading
held = []
def lock():
    held.append(open('lock', 'w'))
    fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
    held.append(b'x' * 50_000_000)
def note():
    with open('pid', 'w') as file: file.write(str(os.getpid()))
def large():
    note()
    held.append(b'x' * 200_000_000)
def busy():
    note()
    threading.Thread(target=threading.Event().wait, daemon=True).start()
def gone():
    with open('pid') as file: return not os.path.exists('/proc/' + file.read())
";

fn then(key: &str, after: &str, function: &str) -> StepPlan {
    let step = python(key, Isolation::Fork, function).step;
    StepPlan { step, ..noop(key, &[after]) }
}

#[tokio::test]
async fn what_a_fork_holds_is_free_when_its_step_is_over() {
    let bench = bench(&[("tasks.py", FUNCTIONS)]);
    let keys: Vec<String> = (0..30).map(|place| format!("s{place}")).collect();
    let mut steps = vec![python("s0", Isolation::Fork, "tasks.py:lock")];
    steps.extend(keys.windows(2).map(|pair| then(&pair[1], &pair[0], "tasks.py:lock")));
    let end = bench.run(run_of(steps)).await;
    let errors = bench.control.errors();
    assert_eq!(end, RunEnd::Finished(RunOutcome::Succeeded), "{errors:?}");
}

#[tokio::test]
async fn a_fork_with_much_memory_or_another_thread_is_gone_when_its_step_is_over() {
    for function in ["tasks.py:large", "tasks.py:busy"] {
        let bench = bench(&[("tasks.py", FUNCTIONS)]);
        let first = python("a", Isolation::Fork, function);
        bench.run(run_of(vec![first, then("b", "a", "tasks.py:gone")])).await;
        assert_eq!(result_of(&bench.control, "b"), true, "{function}");
    }
}
