//! Functions in Python: each isolation, what they see and return, and what ends them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use millstream_blob::LogStream;
use millstream_model::seen::CONTEXT_ENTRIES;
use millstream_model::worker_api::Assignment;
use millstream_model::{
    ErrorCode, HumanDuration, Isolation, PipesConfig, PythonStep, StepConfig, StepError, StepPlan,
    StepSources,
};
use millstream_plan::progress::RunOutcome;
use millstream_worker::{Canceler, ReportError, RunEnd, Seams, Worker};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::bench::{Bench, noop, result_of, run_of};
use crate::outages::away;
use crate::processes::{is_alive, pid_in, until};

pub(crate) const ALL: [Isolation; 3] = [Isolation::Fork, Isolation::Warm, Isolation::Process];

pub(crate) fn python(key: &str, isolation: Isolation, function: &str) -> StepPlan {
    let step = PythonStep {
        function: function.to_owned(),
        isolation,
        params: serde_json::Map::new(),
        env: BTreeMap::new(),
        interpreter: None,
        pipes: PipesConfig::default(),
        sources: StepSources::default(),
    };
    StepPlan { step: StepConfig::Python(step), ..noop(key, &[]) }
}

/// A worker with these Python files in its project.
pub(crate) fn bench(files: &[(&str, &str)]) -> Bench {
    let mut bench = Bench::new();
    let name = "MILLSTREAM_PYTHON";
    bench.settings.python = std::env::var(name).unwrap_or_else(|_| "/usr/bin/python3".to_owned());
    for (name, text) in files {
        write(&bench, name, text);
    }
    bench
}

fn write(bench: &Bench, name: &str, text: &str) {
    let path = bench.settings.root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

async fn run_on(worker: &Worker, bench: &Bench, run: Assignment) -> RunEnd {
    let (_canceler, signal) = Canceler::new();
    worker.run(run, &Seams::system(bench.control.clone()), signal).await
}

/// Runs one function in a worker of its own and returns what it returned.
async fn returned(bench: &Bench, isolation: Isolation, function: &str) -> Value {
    let end = bench.run(run_of(vec![python("step", isolation, function)])).await;
    let errors = bench.control.errors();
    assert_eq!(end, RunEnd::Finished(RunOutcome::Succeeded), "{isolation:?}: {errors:?}");
    result_of(&bench.control, "step")
}

/// Runs one function in a worker of its own and returns how it failed.
async fn failed(bench: &Bench, isolation: Isolation, function: &str) -> StepError {
    bench.run(run_of(vec![python("step", isolation, function)])).await;
    bench.control.errors().pop().unwrap()
}

#[tokio::test]
async fn entries_of_maps_of_the_context_are_attributes_as_those_of_the_context_are() {
    let text = r#"
import millstream
def whole(context):
    context.trigger["seen"] = context.trigger.cursor is None and "cursor" in context["trigger"]
    try:
        context.trigger.curser
    except AttributeError as error:
        wrong = str(error)
    return {"trigger": context.trigger, "x": millstream.context().trigger.place.x, "wrong": wrong}
def by_name(trigger, run):
    return [trigger.place.x, run.id == run["id"], list(trigger.items())[0]]
"#;
    let returned = async |function: &str| {
        let bench = bench(&[("steps.py", text)]);
        let mut run = run_of(vec![python("step", Isolation::Process, function)]);
        run.context.insert("cursor".to_owned(), Value::Null);
        run.context.insert("place".to_owned(), json!({ "x": 7 }));
        let end = bench.run(run).await;
        let errors = bench.control.errors();
        assert_eq!(end, RunEnd::Finished(RunOutcome::Succeeded), "{errors:?}");
        result_of(&bench.control, "step")
    };
    let trigger = json!({ "cursor": null, "place": { "x": 7 }, "seen": true });
    let wrong = "the context has no 'curser'; it has cursor, place, seen";
    let whole = json!({ "trigger": trigger, "x": 7, "wrong": wrong });
    assert_eq!(returned("steps.py:whole").await, whole);
    assert_eq!(returned("steps.py:by_name").await, json!([7, true, ["cursor", null]]));
}

#[tokio::test]
async fn a_function_that_takes_further_entries_gets_those_of_the_context_and_params_by_name() {
    let text = "def names(**more):\n    return sorted(more) if more['run'].id else None\n";
    let bench = bench(&[("tasks.py", text)]);
    let mut step = python("step", Isolation::Fork, "tasks.py:names");
    let StepConfig::Python(config) = &mut step.step else { panic!() };
    config.params.insert("day".to_owned(), json!("monday"));
    bench.run(run_of(vec![step])).await;
    // A definition that has one of these among its `params` is told.
    let mut wanted: Vec<&str> = CONTEXT_ENTRIES.to_vec();
    wanted.retain(|name| *name != "context");
    wanted.push("day");
    wanted.sort_unstable();
    assert_eq!(result_of(&bench.control, "step"), json!(wanted));
}

#[tokio::test]
async fn a_function_sees_its_context_and_returns_its_result_in_every_isolation() {
    let text = r#"
import os
def whole(context):
    return {"step": context.step, "city": context["trigger"]["city"],
            "variable": os.environ["MILLSTREAM_STEP"], "folder": os.getcwd()}
"#;
    for isolation in ALL {
        let bench = bench(&[("tasks.py", text)]);
        let mut run = run_of(vec![python("step", isolation, "tasks.py:whole")]);
        run.context.insert("city".to_owned(), json!("Oslo"));
        bench.run(run).await;
        assert_eq!(bench.control.errors(), [], "{isolation:?}");
        let folder = bench.settings.root.to_str().unwrap();
        let wanted = json!({"step": "step", "city": "Oslo", "variable": "step", "folder": folder});
        assert_eq!(result_of(&bench.control, "step"), wanted, "{isolation:?}");
    }
}

#[tokio::test]
async fn a_number_of_more_than_64_bits_comes_as_text_with_all_its_digits() {
    for isolation in [Isolation::Fork, Isolation::Warm, Isolation::Process] {
        let bench = Bench::new();
        write(&bench, "tasks.py", "def large():\n    return [{'a': 2 ** 70, 'b': 2 ** 63}]\n");
        let value = returned(&bench, isolation, "tasks.py:large").await;
        assert_eq!(value, json!([{ "a": "1180591620717411303424", "b": 1_u64 << 63 }]));
        let log = bench.log("step", 1, LogStream::Out).await;
        assert!(log.contains("1180591620717411303424 is kept as text"), "{isolation:?}: {log}");
    }
}

#[tokio::test]
async fn parameters_are_filled_by_the_names_of_entries_and_params() {
    let text = r"
def named(tenant, limit, *, partition=None, unit='kg', **rest):
    return [tenant['id'], limit, partition, unit, sorted(rest)[:2]]
def none():
    return 'nothing'
async def later(trigger):
    import asyncio
    await asyncio.sleep(0)
    return trigger
def lacking(tenant, wish): pass
";
    let bench = bench(&[("tasks.py", text)]);
    let mut plan = python("named", Isolation::Fork, "tasks.py:named");
    if let StepConfig::Python(step) = &mut plan.step {
        step.params.insert("limit".to_owned(), json!(3));
    }
    bench
        .run(run_of(vec![
            plan,
            python("none", Isolation::Fork, "tasks.py:none"),
            python("later", Isolation::Fork, "tasks.py:later"),
            python("lacking", Isolation::Fork, "tasks.py:lacking"),
        ]))
        .await;
    let wanted = json!(["default", 3, null, "kg", ["asset", "attempt"]]);
    assert_eq!(result_of(&bench.control, "named"), wanted);
    assert_eq!(result_of(&bench.control, "none"), json!("nothing"));
    assert_eq!(result_of(&bench.control, "later"), json!({}));
    let error = bench.control.errors().pop().unwrap();
    let message = "the function wants 'wish', which no entry of the context is called";
    assert_eq!(error.message, message);
}

#[tokio::test]
async fn a_fork_sees_the_variables_and_the_folder_that_a_warm_process_does() {
    let text = r#"
import os, millstream
def seen():
    names = [name for name in os.environ if name.startswith("MILLSTREAM_")]
    return {"names": sorted(names), "folder": os.getcwd(), "step": millstream.context()["step"]}
"#;
    let mut seen = Vec::new();
    for isolation in [Isolation::Fork, Isolation::Warm] {
        let bench = bench(&[("tasks.py", text)]);
        let mut of_one = returned(&bench, isolation, "tasks.py:seen").await;
        // Each has a folder of its own.
        let folder = of_one["folder"].take();
        assert_eq!(folder, bench.settings.root.to_string_lossy().as_ref());
        seen.push(of_one);
    }
    let [of_fork, of_warm] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(of_fork, of_warm, "a warm process has done nothing before");
}

#[tokio::test]
async fn code_is_imported_once_for_all_forks_and_for_each_cold_process() {
    let text = r"
import os
imported_by = os.getpid()
def who(): return [imported_by, os.getpid()]
";
    let bench = bench(&[("tasks.py", text)]);
    let step = |key: &str, isolation| python(key, isolation, "tasks.py:who");
    let mut steps: Vec<StepPlan> =
        (0..3).map(|i| step(&format!("fork-{i}"), Isolation::Fork)).collect();
    steps.extend([step("cold-0", Isolation::Process), step("cold-1", Isolation::Process)]);
    bench.run(run_of(steps)).await;
    let of = |key: &str| {
        let pids: [i64; 2] = serde_json::from_value(result_of(&bench.control, key)).unwrap();
        pids
    };
    let [importer, _] = of("fork-0");
    for i in 0..3 {
        let [imported_by, pid] = of(&format!("fork-{i}"));
        assert_eq!(imported_by, importer);
        assert_ne!(pid, importer);
    }
    assert_ne!(of("cold-0")[0], of("cold-1")[0]);
}

#[tokio::test]
async fn a_warm_process_is_used_again_and_left_as_it_was_found() {
    let text = r"
import os
count = 0
def next_one():
    global count
    count += 1
    os.environ['LEFT'] = 'behind'
    os.chdir('/')
    print('number', count)
    return [count, os.getpid()]
def look(): return ['LEFT' in os.environ, os.getcwd() == '/']
";
    let mut bench = bench(&[("tasks.py", text)]);
    bench.settings.max_parallel = 1;
    let steps = ["a", "b"].map(|key| python(key, Isolation::Warm, "tasks.py:next_one"));
    let mut steps = steps.to_vec();
    steps.push(python("look", Isolation::Warm, "tasks.py:look"));
    bench.run(run_of(steps)).await;
    assert_eq!(bench.control.errors(), []);
    let (a, b) = (result_of(&bench.control, "a"), result_of(&bench.control, "b"));
    assert_eq!((&a[0], &b[0], &a[1]), (&json!(1), &json!(2), &b[1]));
    assert_eq!(result_of(&bench.control, "look"), json!([false, false]));
    assert_eq!(bench.log("a", 1, LogStream::Out).await, "number 1\n");
    assert_eq!(bench.log("b", 1, LogStream::Out).await, "number 2\n");
}

#[tokio::test]
async fn what_a_function_prints_is_complete_and_in_order() {
    let text = r"
import sys, subprocess
print('imported')
def talk():
    for i in range(20_000):
        print('out', i)
        if i % 1000 == 0: print('err', i, file=sys.stderr)
    subprocess.run(['echo', 'child'])
";
    for isolation in ALL {
        let bench = bench(&[("tasks.py", text)]);
        returned(&bench, isolation, "tasks.py:talk").await;
        let lines: Vec<String> = (0..20_000).map(|i| format!("out {i}\n")).collect();
        let out = bench.log("step", 1, LogStream::Out).await;
        let wanted = format!("imported\n{}child\n", lines.concat());
        assert!(out == wanted, "{isolation:?}: {} of {} bytes", out.len(), wanted.len());
        let lines: Vec<String> = (0..20).map(|i| format!("err {}\n", i * 1000)).collect();
        assert_eq!(bench.log("step", 1, LogStream::Err).await, lines.concat(), "{isolation:?}");
    }
}

#[tokio::test]
async fn an_exception_is_the_error_with_the_traceback_of_the_steps_own_code() {
    let text = "def fall(context):\n    inner()\n\ndef inner():\n    raise ValueError('no luck')\n";
    for isolation in ALL {
        let bench = bench(&[("etl/tasks.py", text)]);
        let error = failed(&bench, isolation, "etl/tasks.py:fall").await;
        assert_eq!(error.code, ErrorCode::StepPython);
        assert_eq!(error.message, "ValueError: no luck");
        let detail = error.detail.unwrap();
        let wanted = "Traceback (most recent call last):\n  \
                      File \"etl/tasks.py\", line 2, in fall\n    inner()\n";
        assert!(detail.starts_with(wanted), "{detail}");
        assert!(detail.ends_with("ValueError: no luck"), "{detail}");
    }
}

#[tokio::test]
async fn a_long_text_of_an_exception_leaves_room_for_where_it_was_raised() {
    let text = "def fall(context):\n    raise ValueError('x' * 100_000 + '\\n' * 10_000)\n";
    let bench = bench(&[("tasks.py", text)]);
    let error = failed(&bench, Isolation::Fork, "tasks.py:fall").await;
    assert!(error.message.starts_with("ValueError: xxx"), "{error:?}");
    assert!(error.message.ends_with(" …") && error.message.len() < 600, "{error:?}");
    let detail = error.detail.unwrap();
    assert!(detail.contains("File \"tasks.py\", line 2, in fall"), "{detail}");
    assert!(detail.ends_with(" …") && detail.len() < 2_000, "{detail}");
}

#[tokio::test]
async fn a_function_that_ends_its_process_without_an_error_has_never_returned() {
    let text = "import os\ndef leave(): os._exit(0)\n";
    for isolation in [Isolation::Fork, Isolation::Process] {
        let bench = bench(&[("tasks.py", text)]);
        let error = failed(&bench, isolation, "tasks.py:leave").await;
        assert_eq!(error.code, ErrorCode::StepExit);
        assert!(error.message.starts_with("the function never returned: "), "{error:?}");
    }
}

#[tokio::test]
async fn r136_a_function_skips_its_step_by_its_result_or_by_an_exception() {
    let text = r"
import millstream
def by_result(): return {'status': 'skipped', 'reason': 'no rows'}
def by_exception(): raise millstream.Skip('no rows')
";
    for isolation in ALL {
        for function in ["by_result", "by_exception"] {
            let bench = bench(&[("tasks.py", text)]);
            bench.run(run_of(vec![python("a", isolation, &format!("tasks.py:{function}"))])).await;
            let told = bench.control.told();
            assert!(told.contains(&"step_skipped a".to_owned()), "{isolation:?}: {told:?}");
        }
    }
}

#[tokio::test]
async fn a_result_that_is_not_json_says_what_it_is() {
    let text = "def a(): return {1, 2}\ndef b(): return float('nan')\ndef c(): return '\\ud800'\n";
    for isolation in ALL {
        for function in ["a", "b", "c"] {
            let bench = bench(&[("tasks.py", text)]);
            let error = failed(&bench, isolation, &format!("tasks.py:{function}")).await;
            assert_eq!(error.code, ErrorCode::StepResult, "{error:?}");
            assert!(error.message.starts_with("the function's result is not JSON ("), "{error:?}");
        }
    }
}

#[tokio::test]
async fn code_that_cannot_be_loaded_says_why_and_what_was_meant() {
    let files = [
        ("broken.py", "def oops(:\n"),
        ("lacking.py", "import pandaz\n"),
        ("tasks.py", "def extract(): pass\nVALUE = 3\n"),
        ("pkg/__init__.py", ""),
        ("pkg/mod.py", "from . import helper\ndef go(): return helper.WORD\n"),
        ("pkg/helper.py", "WORD = 'helped'\n"),
    ];
    for isolation in ALL {
        for (function, message) in [
            ("broken.py:oops", "broken.py cannot be imported: SyntaxError: "),
            ("lacking.py:go", "lacking.py cannot be imported: ModuleNotFoundError: No module"),
            ("gone.py:go", "there is no file gone.py in the project's folder"),
            ("tasks.py:extrakt", "tasks.py has no function 'extrakt'; did you mean 'extract'?"),
            ("tasks.py:VALUE", "'VALUE' of tasks.py is no function but int"),
        ] {
            let bench = bench(&files);
            let error = failed(&bench, isolation, function).await;
            assert_eq!(error.code, ErrorCode::StepLoad, "{isolation:?} {function}: {error:?}");
            assert!(error.message.starts_with(message), "{isolation:?}: {error:?}");
        }
        let bench = bench(&files);
        assert_eq!(returned(&bench, isolation, "pkg.mod:go").await, json!("helped"));
    }
}

#[tokio::test]
async fn a_result_that_is_too_large_has_a_way_out_that_is_one() {
    let bench = bench(&[("tasks.py", "def large(): return 'x' * (17 << 20)\n")]);
    let error = failed(&bench, Isolation::Process, "tasks.py:large").await;
    assert_eq!(error.code, ErrorCode::StepResult);
    let wanted = format!("the result is over the limit of 16 MiB{}", millstream_blob::RESULT_WAYS);
    assert_eq!(error.message, wanted);
}

#[tokio::test]
async fn an_import_error_has_the_line_of_the_import() {
    let bench = bench(&[("lacking.py", "import os\nimport pandaz\n")]);
    let error = failed(&bench, Isolation::Fork, "lacking.py:go").await;
    let detail = error.detail.unwrap();
    assert!(detail.contains("File \"lacking.py\", line 2, in <module>"), "{detail}");
    assert!(!detail.contains("_call.py") && !detail.contains("importlib"), "{detail}");
}

#[tokio::test]
async fn an_import_that_starts_threads_is_not_forked_and_says_so() {
    let text = r"
import os, threading, time
threading.Thread(target=threading.Event().wait, name='beat', daemon=True).start()
def who(): return os.getpid()
";
    let bench = bench(&[("tasks.py", text)]);
    let value = returned(&bench, Isolation::Fork, "tasks.py:who").await;
    assert!(value.is_number());
    let said = bench.log("step", 1, LogStream::Err).await;
    assert_eq!(
        said,
        "[millstream: tasks.py is not forked, because importing it has started 1 thread(s): beat; \
         this step runs in a process of its own]\n"
    );
}

const FAMILY: &str = r"
import os, subprocess, sys, time
def family():
    child = subprocess.Popen(['tail', '-f', '/dev/null'])
    with open('pids.new', 'w') as file: file.write(f'{os.getpid()} {child.pid}')
    os.rename('pids.new', 'pids')
    child.wait()
def leave():
    child = subprocess.Popen(['tail', '-f', '/dev/null'])
    with open('child', 'w') as file: file.write(str(child.pid))
";

fn family_of(bench: &Bench) -> Option<[Pid; 2]> {
    let text = std::fs::read_to_string(bench.settings.root.join("pids")).ok()?;
    let (parent, child) = text.split_once(' ')?;
    let pid = |text: &str| Pid::from_raw(text.parse().unwrap()).unwrap();
    Some([pid(parent), pid(child)])
}

#[tokio::test]
async fn r189_a_timeout_ends_the_function_and_all_its_processes() {
    for isolation in ALL {
        let bench = bench(&[("tasks.py", FAMILY)]);
        let timeout = Some(HumanDuration(Duration::from_secs(1)));
        let step = StepPlan { timeout, ..python("step", isolation, "tasks.py:family") };
        bench.run(run_of(vec![step])).await;
        let error = bench.control.errors().pop().unwrap();
        assert_eq!(error.code, ErrorCode::StepTimeout, "{isolation:?}: {error:?}");
        let family = family_of(&bench).unwrap();
        until("the family is gone", || !family.iter().any(|pid| is_alive(*pid))).await;
    }
}

#[tokio::test]
async fn a_cancel_ends_the_function_and_the_run_is_canceled() {
    for isolation in ALL {
        let bench = bench(&[("tasks.py", FAMILY)]);
        let worker = bench.worker();
        let run = run_of(vec![python("step", isolation, "tasks.py:family")]);
        let (canceler, signal) = Canceler::new();
        let seams = Seams::system(bench.control.clone());
        let cancel = async {
            until("the family", || family_of(&bench).is_some()).await;
            canceler.cancel();
        };
        let (end, ()) = tokio::join!(worker.run(run, &seams, signal), cancel);
        assert_eq!(end, RunEnd::Finished(RunOutcome::Canceled), "{isolation:?}");
        let family = family_of(&bench).unwrap();
        until("the family is gone", || !family.iter().any(|pid| is_alive(*pid))).await;
    }
}

#[tokio::test]
async fn what_a_fork_leaves_behind_ends_with_it() {
    let bench = bench(&[("tasks.py", FAMILY)]);
    returned(&bench, Isolation::Fork, "tasks.py:leave").await;
    let child = pid_in(&bench.settings.root.join("child")).await;
    until("the child is gone", || !is_alive(child)).await;
}

#[tokio::test]
async fn a_worker_that_goes_takes_its_forks_along() {
    for isolation in [Isolation::Fork, Isolation::Warm] {
        let bench = bench(&[("tasks.py", FAMILY)]);
        let worker = bench.worker();
        let run = run_of(vec![python("step", isolation, "tasks.py:family")]);
        let (_canceler, signal) = Canceler::new();
        let seams = Seams::system(bench.control.clone());
        tokio::select! {
            end = worker.run(run, &seams, signal) => panic!("{end:?}"),
            () = until("the family", || family_of(&bench).is_some()) => {}
        }
        drop(worker);
        let family = family_of(&bench).unwrap();
        until("the family is gone", || !family.iter().any(|pid| is_alive(*pid))).await;
    }
}

const KILLED: &str = r"
import os, time
def wait():
    with open('pids.new', 'w') as file: file.write(f'{os.getpid()} {os.getppid()}')
    os.rename('pids.new', 'pids')
    time.sleep(3600)
def fine(): return 'fine'
def crash(): os.kill(os.getpid(), 11)
def leave(): os._exit(3)
";

#[tokio::test]
async fn a_process_that_forks_and_is_killed_fails_its_steps_and_is_replaced() {
    let mut bench = bench(&[("tasks.py", KILLED)]);
    bench.settings.max_parallel = 1;
    let worker = bench.worker();
    let steps = vec![
        python("a", Isolation::Fork, "tasks.py:wait"),
        python("b", Isolation::Fork, "tasks.py:fine"),
    ];
    let kill = async {
        until("the pids", || family_of(&bench).is_some()).await;
        let [fork, host] = family_of(&bench).unwrap();
        kill_process(host, Signal::KILL).unwrap();
        fork
    };
    let (_, fork) = tokio::join!(run_on(&worker, &bench, run_of(steps)), kill);
    let error = bench.control.errors().pop().unwrap();
    let wanted = "the process that has imported tasks.py was lost: it was ended by signal 9";
    assert!(error.message.starts_with(wanted), "{error:?}");
    assert_eq!(result_of(&bench.control, "b"), json!("fine"));
    until("the fork is gone", || !is_alive(fork)).await;
}

#[tokio::test]
async fn a_fork_made_in_advance_that_is_gone_is_given_to_no_step() {
    let text = "import os\ndef who(): return [os.getpid(), os.getppid()]\n";
    let mut bench = bench(&[("tasks.py", text)]);
    let worker = bench.worker();
    let step = || run_of(vec![python("step", Isolation::Fork, "tasks.py:who")]);
    run_on(&worker, &bench, step()).await;
    let pids = serde_json::from_value(result_of(&bench.control, "step")).unwrap();
    let spare = || spare_of(pids);
    until("the fork in advance", || spare().is_some()).await;
    kill_process(spare().unwrap(), Signal::KILL).unwrap();
    until("it is gone", || spare().is_none()).await;
    bench.control = std::sync::Arc::default();
    run_on(&worker, &bench, step()).await;
    assert_eq!(bench.control.errors(), []);
}

/// The fork that `host` has made in advance, beside the one whose step may just be over.
fn spare_of([own, host]: [i32; 2]) -> Option<Pid> {
    let children = std::fs::read_to_string(format!("/proc/{host}/task/{host}/children")).unwrap();
    let mut pids = children.split_whitespace().map(|pid| pid.parse::<i32>().unwrap());
    pids.find(|pid| *pid != own).and_then(Pid::from_raw)
}

/// A worker whose process of this kind waits for a step, and the process that will have it.
async fn waiting(isolation: Isolation) -> (Bench, Worker, Pid) {
    let text = "import os\n\
                def who(): return [os.getpid(), os.getppid()]\n\
                def mark(): open('marked', 'w').close()\n\
                def size(text): return len(text)\n";
    let mut bench = bench(&[("tasks.py", text)]);
    let worker = bench.worker();
    run_on(&worker, &bench, run_of(vec![python("step", isolation, "tasks.py:who")])).await;
    let [own, parent]: [i32; 2] =
        serde_json::from_value(result_of(&bench.control, "step")).unwrap();
    bench.control = std::sync::Arc::default();
    if isolation == Isolation::Warm {
        return (bench, worker, Pid::from_raw(own).unwrap());
    }
    let spare = || spare_of([own, parent]);
    until("the fork in advance", || spare().is_some()).await;
    (bench, worker, spare().unwrap())
}

#[tokio::test]
async fn what_a_process_was_handed_does_not_begin_before_its_start_was_taken() {
    for isolation in [Isolation::Fork, Isolation::Warm] {
        let (bench, worker, process) = waiting(isolation).await;
        // The outage leaves time to hand it over.
        bench.control.fail(vec![ReportError::Stale, away(), away()]);
        let run = run_of(vec![python("step", isolation, "tasks.py:mark")]);
        assert_eq!(run_on(&worker, &bench, run).await, RunEnd::Replaced);
        drop(worker);
        until("the process is gone", || !is_alive(process)).await;
        assert!(!bench.settings.root.join("marked").exists(), "{isolation:?}");
    }
}

#[tokio::test]
async fn a_fork_that_goes_after_it_was_handed_a_step_is_replaced() {
    let (bench, worker, fork) = waiting(Isolation::Fork).await;
    bench.control.fail(vec![away(), away(), away()]);
    let run = run_of(vec![python("step", Isolation::Fork, "tasks.py:mark")]);
    let kill = async {
        bench.control.failed().await;
        kill_process(fork, Signal::KILL).unwrap();
    };
    let (end, ()) = tokio::join!(run_on(&worker, &bench, run), kill);
    assert_eq!(end, RunEnd::Finished(RunOutcome::Succeeded));
    assert!(bench.settings.root.join("marked").exists());
}

#[tokio::test]
async fn an_order_that_the_socket_has_no_room_for_comes_whole() {
    for isolation in [Isolation::Fork, Isolation::Warm] {
        let (bench, worker, _) = waiting(isolation).await;
        let mut step = python("step", isolation, "tasks.py:size");
        let StepConfig::Python(config) = &mut step.step else { panic!("it is in Python") };
        config.params.insert("text".to_owned(), "x".repeat(3 << 20).into());
        run_on(&worker, &bench, run_of(vec![step])).await;
        assert_eq!(bench.control.errors(), []);
        assert_eq!(result_of(&bench.control, "step"), json!(3 << 20));
    }
}

#[tokio::test]
async fn a_crash_is_the_end_of_its_step_alone() {
    for isolation in ALL {
        let mut bench = bench(&[("tasks.py", KILLED)]);
        bench.settings.max_parallel = 1;
        let step = |key: &str, function: &str| python(key, isolation, function);
        bench
            .run(run_of(vec![
                step("a", "tasks.py:crash"),
                step("b", "tasks.py:leave"),
                step("c", "tasks.py:fine"),
            ]))
            .await;
        let errors = bench.control.errors();
        assert!(errors[0].message.contains("signal 11 (SIGSEGV)"), "{isolation:?}: {errors:?}");
        assert!(errors[1].message.contains("exited with code 3"), "{isolation:?}: {errors:?}");
        assert_eq!(result_of(&bench.control, "c"), json!("fine"), "{isolation:?}");
    }
}

#[tokio::test]
async fn two_tenants_never_share_a_process() {
    let text = "import os\nimported_by = os.getpid()\ndef who(): return imported_by\n";
    for isolation in [Isolation::Fork, Isolation::Warm] {
        let mut pids = Vec::new();
        let mut bench = bench(&[("tasks.py", text)]);
        let worker = bench.worker();
        for tenant in ["one", "two", "one"] {
            bench.control = std::sync::Arc::default();
            let mut run = run_of(vec![python("step", isolation, "tasks.py:who")]);
            run.tenant = tenant.parse().unwrap();
            run.plan.tenant = run.tenant.clone();
            run_on(&worker, &bench, run).await;
            pids.push(result_of(&bench.control, "step"));
        }
        assert_eq!(pids[0], pids[2], "{isolation:?}");
        assert_ne!(pids[0], pids[1], "{isolation:?}");
    }
}

#[tokio::test]
async fn a_changed_file_is_seen_by_the_next_run_and_not_by_one_under_way() {
    let text = |word: &str| {
        format!(
            "import os\nfrom helper import WORD\ndef say(): return WORD + '{word}'\n\
             def change():\n    for name in ('tasks.py', 'helper.py'):\n        \
             with open(name) as file: text = file.read()\n        \
             with open(name, 'w') as file: file.write(text.replace('old', 'new'))\n"
        )
    };
    for isolation in ALL {
        let mut bench = bench(&[("tasks.py", &text("old")), ("helper.py", "WORD = 'old '\n")]);
        let worker = bench.worker();
        let after =
            |step: StepPlan, key: &str| StepPlan { depends_on: vec![key.parse().unwrap()], ..step };
        let change = python("change", isolation, "tasks.py:change");
        let say = after(python("say", isolation, "tasks.py:say"), "change");
        run_on(&worker, &bench, run_of(vec![change, say])).await;
        assert_eq!(result_of(&bench.control, "say"), json!("old old"), "{isolation:?}");
        bench.control = std::sync::Arc::default();
        let say = python("say", isolation, "tasks.py:say");
        run_on(&worker, &bench, run_of(vec![say])).await;
        assert_eq!(result_of(&bench.control, "say"), json!("new new"), "{isolation:?}");
    }
}

#[tokio::test]
async fn a_hundred_forks_at_once_all_return() {
    let mut bench = bench(&[("tasks.py", "def which(step):\n    print(step)\n    return step\n")]);
    bench.settings.max_parallel = 100;
    let names: Vec<String> = (0..100).map(|i| format!("step-{i}")).collect();
    let steps = names.iter().map(|name| python(name, Isolation::Fork, "tasks.py:which"));
    bench.run(run_of(steps.collect())).await;
    for name in &names {
        assert_eq!(result_of(&bench.control, name), json!(name));
        assert_eq!(bench.log(name, 1, LogStream::Out).await, format!("{name}\n"));
    }
}

#[tokio::test]
async fn an_interpreter_that_is_not_there_is_named_with_a_way_out() {
    let mut bench = bench(&[("tasks.py", "def go(): pass\n")]);
    bench.settings.python = "/nowhere/python3".to_owned();
    let error = failed(&bench, Isolation::Fork, "tasks.py:go").await;
    assert_eq!(error.code, ErrorCode::StepSpawn);
    assert!(error.message.contains("\"/nowhere/python3\""), "{error:?}");
    assert!(error.message.contains("MILLSTREAM_PYTHON"), "{error:?}");
    assert!(!Path::new("/nowhere").exists());
}
