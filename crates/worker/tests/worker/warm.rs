//! Warm processes: how they wait, and are waited for.

use millstream_blob::LogStream;
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

const STREAMS: &str = r"
import codecs, io, logging, os, sys
first = logging.StreamHandler()
kept = []
def into_memory():
    print('begun', end='')
    sys.stdout = sys.stderr = io.StringIO()
    print('swallowed')
def into_a_file():
    sys.stdout = open('printed.txt', 'w')
    print('in the file')
def closed():
    print('before')
    sys.stdin.close(); sys.stdout.close(); sys.stderr.close()
def wrapped():
    sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8')
    sys.stderr = codecs.getwriter('utf-8')(sys.stderr.buffer)
    print('wrapped')
def kept_for_later():
    sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8')
    kept.append(sys.stdout)
    print('kept')
def taken_apart():
    sys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding='utf-8')
    sys.stderr.detach()
    print('apart')
def reopened():
    sys.stdout, sys.stderr = os.fdopen(1, 'w', 1), os.fdopen(2, 'w', 1)
    print('reopened')
def crossed():
    sys.stdout = sys.stderr
    print('crossed')
def gone():
    del sys.stdin, sys.stdout, sys.stderr
def talk():
    print('out')
    print('err', file=sys.stderr)
    print('kept out', file=sys.__stdout__)
    first.handle(logging.makeLogRecord({'msg': 'logged'}))
    sys.stdin.read()
    return os.getpid()
";

#[tokio::test]
async fn what_a_step_does_to_its_streams_loses_nothing_that_the_next_one_prints() {
    let bench = bench(&[("tasks.py", STREAMS)]);
    let worker = bench.worker();
    let manners = [
        ("into_memory", "begun"),
        ("into_a_file", ""),
        ("wrapped", "wrapped\n"),
        ("kept_for_later", "kept\n"),
        ("reopened", "reopened\n"),
        ("crossed", ""),
        ("gone", ""),
        // The stream that a logger holds does not come back from these.
        ("taken_apart", "apart\n"),
        ("closed", "before\n"),
        ("into_memory", "begun"),
    ];
    let functions: Vec<&str> = manners.iter().flat_map(|(name, _)| [*name, "talk"]).collect();
    let (_canceler, signal) = Canceler::new();
    let seams = Seams::system(bench.control.clone());
    let end = worker.run(run_of(chain(&functions)), &seams, signal).await;
    let errors = bench.control.errors();
    assert_eq!(end, RunEnd::Finished(RunOutcome::Succeeded), "{errors:?}");
    let mut has_logger = true;
    for (place, (name, printed)) in manners.iter().enumerate() {
        let (step, next) = (format!("s{}", place * 2), format!("s{}", place * 2 + 1));
        assert_eq!(bench.log(&step, 1, LogStream::Out).await, *printed, "{name}");
        assert_eq!(bench.log(&next, 1, LogStream::Out).await, "out\nkept out\n", "{name}");
        has_logger &= *name != "taken_apart";
        if has_logger {
            assert_eq!(bench.log(&next, 1, LogStream::Err).await, "err\nlogged\n", "{name}");
        }
        assert_eq!(result_of(&bench.control, &next), result_of(&bench.control, "s1"), "{name}");
    }
    let file = std::fs::read_to_string(bench.settings.root.join("printed.txt"));
    assert_eq!(file.unwrap(), "in the file\n");
}
