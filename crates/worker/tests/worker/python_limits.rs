//! What functions in Python may use, in each isolation, and what is left of them.

use std::time::Duration;

use millstream_blob::LogStream;
use millstream_model::{
    ByteSize, ErrorCode, EventBody, HumanDuration, Isolation, StepLimits, StepPlan, StepUsage,
};
use serde_json::json;

use crate::bench::{Bench, result_of, run_of};
use crate::python::{ALL, bench, python};

const HUNGRY: &str = r"
import os, subprocess, sys, time

def memory():
    block = bytearray(300_000_000)
    time.sleep(60)

def processes():
    for _ in range(3): subprocess.Popen(['sleep', '60'])
    time.sleep(60)

def time_of_its_own():
    while True: pass

def some_memory():
    block = bytearray(100_000_000)
    until = time.process_time() + 0.4
    while time.process_time() < until: pass
    return 'fine'

def narrow():
    import resource
    return [len(os.sched_getaffinity(0)), *resource.getrlimit(resource.RLIMIT_NOFILE)]

def flood():
    for _ in range(300): os.write(1, bytes(1_000_000))

def fine(): return 'fine'
";

/// Lives apart from its function, as `setsid` makes it do.
const LEAVING: &str = r"
import os, subprocess
def apart():
    line = 'sleep 60 & echo $! > child.new; mv child.new child; exec sleep 60'
    streams = dict.fromkeys(['stdin', 'stdout', 'stderr'], subprocess.DEVNULL)
    # The shell between them ends, so that nobody knows its child by its parent.
    subprocess.run(['sh', '-c', f'setsid sh -c {line!r} &'], check=True, **streams)
    while not os.path.exists('child'): pass
def leave(): apart()
def crash():
    apart()
    os.kill(os.getpid(), 11)
def is_gone():
    with open('child') as file: return not os.path.exists(f'/proc/{int(file.read())}')
";

fn limited(key: &str, isolation: Isolation, function: &str, limits: StepLimits) -> StepPlan {
    StepPlan { limits, ..python(key, isolation, &format!("tasks.py:{function}")) }
}

fn usages(bench: &Bench) -> Vec<StepUsage> {
    let used = |event| match event {
        EventBody::StepSucceeded { usage, .. } | EventBody::StepFailed { usage, .. } => usage,
        _ => None,
    };
    bench.control.events().into_iter().filter_map(used).collect()
}

fn usage(bench: &Bench) -> StepUsage {
    *usages(bench).first().unwrap()
}

#[tokio::test]
async fn r019_a_function_over_a_limit_is_ended_and_says_so_and_the_next_one_runs() {
    for isolation in ALL {
        let memory = StepLimits { memory: Some(ByteSize(200 << 20)), ..StepLimits::NONE };
        let processes = StepLimits { processes: Some(3), ..StepLimits::NONE };
        let time = Some(HumanDuration(Duration::from_millis(300)));
        let time = StepLimits { cpu_time: time, ..StepLimits::NONE };
        let mut bench = bench(&[("tasks.py", HUNGRY)]);
        bench.settings.max_parallel = 1;
        let steps = vec![
            limited("a", isolation, "memory", memory),
            limited("b", isolation, "processes", processes),
            limited("c", isolation, "time_of_its_own", time),
            python("d", isolation, "tasks.py:fine"),
        ];
        bench.run(run_of(steps)).await;
        let errors = bench.control.errors();
        assert_eq!(errors[0].code, ErrorCode::StepOutOfMemory, "{isolation:?}: {errors:?}");
        assert!(errors[0].message.ends_with(", limit 200 MiB"), "{isolation:?}: {errors:?}");
        assert_eq!(errors[1].message, "too many processes: 4, limit 3", "{isolation:?}");
        assert!(errors[2].message.starts_with("too much processor time"), "{errors:?}");
        assert_eq!(result_of(&bench.control, "d"), json!("fine"), "{isolation:?}");
    }
}

#[tokio::test]
async fn a_limit_of_the_worker_holds_for_functions_that_have_none() {
    for isolation in ALL {
        let mut bench = bench(&[("tasks.py", HUNGRY)]);
        bench.settings.limits.memory = Some(ByteSize(200 << 20));
        bench.run(run_of(vec![python("a", isolation, "tasks.py:memory")])).await;
        let errors = bench.control.errors();
        assert_eq!(errors[0].code, ErrorCode::StepOutOfMemory, "{isolation:?}: {errors:?}");
    }
}

#[tokio::test]
async fn what_a_function_used_is_told_in_every_isolation() {
    for isolation in ALL {
        let bench = bench(&[("tasks.py", HUNGRY)]);
        bench.run(run_of(vec![python("a", isolation, "tasks.py:some_memory")])).await;
        let used = usage(&bench);
        assert!(used.cpu() >= Duration::from_millis(380), "{isolation:?}: {used:?}");
        assert!(used.peak_memory_bytes > 90 << 20, "{isolation:?}: {used:?}");
    }
}

#[tokio::test]
async fn what_a_function_used_that_was_killed_is_told_in_every_isolation() {
    for isolation in ALL {
        let bench = bench(&[("tasks.py", HUNGRY)]);
        let cpu_time = Some(HumanDuration(Duration::from_millis(300)));
        let limits = StepLimits { cpu_time, ..StepLimits::NONE };
        bench.run(run_of(vec![limited("a", isolation, "time_of_its_own", limits)])).await;
        let used = usage(&bench);
        assert!(used.cpu() >= Duration::from_millis(300), "{isolation:?}: {used:?}");
    }
}

#[tokio::test]
async fn what_a_warm_process_used_before_a_step_that_is_killed_is_not_that_steps() {
    let text =
        format!("{HUNGRY}\nwhile time.process_time() < 1: pass\ndef rest(): time.sleep(60)\n");
    let mut bench = bench(&[("tasks.py", &text)]);
    bench.settings.max_parallel = 1;
    let timeout = Some(HumanDuration(Duration::from_millis(300)));
    let slow = StepPlan { timeout, ..python("b", Isolation::Warm, "tasks.py:rest") };
    bench.run(run_of(vec![python("a", Isolation::Warm, "tasks.py:some_memory"), slow])).await;
    assert_eq!(bench.control.errors()[0].code, ErrorCode::StepTimeout);
    let used = usages(&bench)[1];
    assert!(used.cpu() < Duration::from_millis(500), "{used:?}");
}

#[tokio::test]
async fn a_function_has_as_many_open_files_and_cores_as_its_limits_say() {
    for isolation in ALL {
        let bench = bench(&[("tasks.py", HUNGRY)]);
        let limits = StepLimits { open_files: Some(64), cpu: Some(1), ..StepLimits::NONE };
        bench.run(run_of(vec![limited("a", isolation, "narrow", limits)])).await;
        assert_eq!(result_of(&bench.control, "a"), json!([1, 64, 64]), "{isolation:?}");
    }
}

#[tokio::test]
async fn g14_what_a_function_floods_is_capped_with_marks() {
    for isolation in ALL {
        let mut bench = bench(&[("tasks.py", HUNGRY)]);
        bench.settings.output_max = ByteSize(1 << 20);
        bench.run(run_of(vec![python("a", isolation, "tasks.py:flood")])).await;
        let log = bench.log_bytes("a", LogStream::Out).await;
        let dropped = 300_000_000 - (1 << 20);
        let marks = format!(
            "\n[millstream: output capped at 1 MiB; what follows is dropped]\n\
             [millstream: {dropped} bytes dropped]\n"
        );
        assert!(log.ends_with(marks.as_bytes()), "{isolation:?}");
        assert_eq!(usage(&bench).output_dropped_bytes, dropped, "{isolation:?}");
    }
}

#[tokio::test]
async fn what_left_the_group_of_a_fork_ends_with_it_whether_it_returns_or_crashes() {
    for function in ["tasks.py:leave", "tasks.py:crash"] {
        let mut bench = bench(&[("tasks.py", LEAVING)]);
        bench.settings.max_parallel = 1;
        let first = python("a", Isolation::Fork, function);
        let then = python("b", Isolation::Fork, "tasks.py:is_gone");
        bench.run(run_of(vec![first, then])).await;
        // Another fork of the same process sees it, so it is not that one's end that was needed.
        assert_eq!(result_of(&bench.control, "b"), json!(true), "{function}");
    }
}
