//! What becomes of steps' processes: output, environment, timeouts, cancels, lost workers.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use millstream_blob::{LogKey, LogStream};
use millstream_model::{
    CommandLine, CommandStep, ErrorCode, HumanDuration, PipesConfig, StepConfig, StepPlan,
    StepSources,
};
use millstream_plan::progress::RunOutcome;
use millstream_worker::{Canceler, RunEnd, Seams};
use rustix::process::{Pid, test_kill_process};

use crate::bench::{Bench, noop, run_of, shell};

/// Waits until `is_so`, for what another process does and nobody announces.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(20), "still waiting for: {what}");
        tokio::task::yield_now().await;
        std::thread::yield_now();
    }
}

/// The process id that a step wrote into `file`.
pub(crate) async fn pid_in(file: &Path) -> Pid {
    let read = || std::fs::read_to_string(file).ok()?.trim().parse::<i32>().ok();
    until("a process id", || read().is_some()).await;
    Pid::from_raw(read().unwrap()).unwrap()
}

/// Whether a process still does something.
pub(crate) fn is_alive(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    // A zombie that nobody has reaped yet does nothing any more.
    test_kill_process(pid).is_ok() && stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn a_label_of_the_tenant_is_seen_as_a_field_of_it() {
    let bench = Bench::new();
    let line = "echo {{ tenant.region }} {{ tenant.labels.region }} {{ tenant.id }}";
    let mut run = run_of(vec![shell("a", line)]);
    let labels = [("region", "eu"), ("id", "mine")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    run.plan.tenant_def.labels = BTreeMap::from(labels);
    bench.run(run).await;
    assert_eq!(bench.log("a", 1, LogStream::Out).await, "eu eu default\n");
}

#[tokio::test]
async fn r010_a_thousand_lines_on_both_outputs_are_complete_and_in_order() {
    let bench = Bench::new();
    let line = "i=0; while [ $i -lt 1000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done";
    bench.run(run_of(vec![shell("talk", line)])).await;
    for (stream, word) in [(LogStream::Out, "out"), (LogStream::Err, "err")] {
        let wanted: Vec<String> = (0..1000).map(|i| format!("{word} {i}")).collect();
        let log = bench.log("talk", 1, stream).await;
        assert_eq!(log.lines().collect::<Vec<_>>(), wanted);
    }
}

#[tokio::test]
async fn r010_output_can_be_read_while_the_step_still_runs() {
    let bench = Bench::new();
    let go = bench.folder.path().join("go");
    let line = format!("echo first; until [ -e {} ]; do sleep 0.01; done; echo last", go.display());
    let path = bench.blobs().log_path(&LogKey {
        tenant: millstream_model::TenantId::default_tenant(),
        run: crate::bench::run_id(),
        step: "talk".parse().unwrap(),
        attempt: 1,
        stream: LogStream::Out,
    });
    let reader = async {
        until("the first line", || std::fs::read(&path).is_ok_and(|b| b == b"first\n")).await;
        assert!(!bench.control.told().contains(&"step_succeeded talk".to_owned()));
        std::fs::write(&go, "").unwrap();
    };
    let (end, ()) = tokio::join!(bench.run(run_of(vec![shell("talk", &line)])), reader);
    assert_eq!(end, RunEnd::Finished(RunOutcome::Succeeded));
    assert_eq!(bench.log("talk", 1, LogStream::Out).await, "first\nlast\n");
}

#[tokio::test]
async fn r016_a_step_sees_its_own_environment_and_nothing_of_the_worker_s() {
    let bench = Bench::new();
    let command = CommandStep {
        command: CommandLine::Argv(vec!["env".to_owned()]),
        env: BTreeMap::from([("CITY".to_owned(), "{{ tenant }} city".to_owned())]),
        cwd: None,
        pipes: PipesConfig::default(),
        sources: StepSources::default(),
    };
    let step = StepPlan { step: StepConfig::Command(command), ..noop("env", &[]) };
    bench.run(run_of(vec![step])).await;
    let log = bench.log("env", 1, LogStream::Out).await;
    let names: Vec<&str> = log.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    for name in &names {
        let is_known = ["PATH", "CITY", "TMPDIR"].contains(name)
            || name.starts_with("MILLSTREAM_")
            || name.starts_with("DAGSTER_PIPES_");
        assert!(is_known, "{name} came from somewhere else");
    }
    assert!(log.contains("CITY=default city\n"), "{log}");
    assert!(log.contains("MILLSTREAM_STEP=env\n"), "{log}");
    assert!(!bench.folder.path().join("scratch").read_dir().unwrap().any(|_| true), "leftovers");
}

#[tokio::test]
async fn a_step_that_runs_is_offered_to_the_kernel_when_memory_runs_out() {
    let bench = Bench::new();
    let line = "until read -r score < /proc/$$/oom_score_adj && [ \"$score\" = 500 ]; do :; done";
    let timeout = Some(HumanDuration::from_secs(20));
    let end = bench.run(run_of(vec![StepPlan { timeout, ..shell("sit", line) }])).await;
    assert_eq!(end, RunEnd::Finished(RunOutcome::Succeeded), "{:?}", bench.control.errors());
}

#[tokio::test]
async fn r190_a_timeout_ends_the_step_and_the_processes_that_it_started() {
    let bench = Bench::new();
    let file = bench.folder.path().join("grandchild");
    let line = format!("sleep 60 & echo $! > {}; sleep 60", file.display());
    let timeout = Some(HumanDuration::from_secs(1));
    let step = StepPlan { timeout, ..shell("slow", &line) };
    let started = Instant::now();
    bench.run(run_of(vec![step])).await;
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(4), "{took:?}");
    let error = &bench.control.errors()[0];
    assert_eq!(error.code, ErrorCode::StepTimeout);
    assert_eq!(error.message, "timeout: the step ran longer than 1s");
    assert!(!is_alive(pid_in(&file).await), "the grandchild runs on");
}

#[tokio::test]
async fn a_step_that_ignores_the_request_to_end_is_killed_after_the_grace() {
    let mut bench = Bench::new();
    bench.settings.timeout_grace = Duration::from_millis(100);
    let timeout = Some(HumanDuration(Duration::from_millis(100)));
    let step = StepPlan { timeout, ..shell("deaf", "trap '' TERM; while :; do sleep 1; done") };
    let started = Instant::now();
    bench.run(run_of(vec![step])).await;
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(bench.control.errors()[0].code, ErrorCode::StepTimeout);
}

#[tokio::test]
async fn a_process_that_is_left_behind_neither_survives_nor_holds_up_its_step() {
    let bench = Bench::new();
    let file = bench.folder.path().join("left");
    let line = format!("sleep 60 & echo $! > {}", file.display());
    let started = Instant::now();
    let end = bench.run(run_of(vec![shell("leave", &line)])).await;
    assert_eq!(end, RunEnd::Finished(RunOutcome::Succeeded));
    assert!(started.elapsed() < Duration::from_secs(10));
    let pid = pid_in(&file).await;
    until("the end of what was left", || !is_alive(pid)).await;
}

#[tokio::test]
async fn r203_a_cancel_stops_what_runs_and_starts_nothing_more() {
    let bench = Bench::new();
    let file = bench.folder.path().join("running");
    let line = format!("echo $$ > {}; sleep 60", file.display());
    let run = run_of(vec![shell("long", &line), noop("after", &["long"])]);
    let canceling = async {
        let pid = pid_in(&file).await;
        bench.control.cancel();
        pid
    };
    let (end, pid) = tokio::join!(bench.run(run), canceling);
    assert_eq!(end, RunEnd::Finished(RunOutcome::Canceled));
    assert!(!is_alive(pid));
    let told = bench.control.told();
    assert!(!told.contains(&"step_started after".to_owned()), "{told:?}");
    for event in ["step_canceled long", "step_canceled after", "run_canceled"] {
        assert!(told.contains(&event.to_owned()), "{event} is missing in {told:?}");
    }
}

#[tokio::test]
async fn r203_a_cancel_from_within_the_process_needs_no_beat() {
    let mut bench = Bench::new();
    bench.settings.beat_every = Duration::from_hours(1);
    let (canceler, signal) = Canceler::new();
    let worker = bench.worker();
    let seams = Seams::system(bench.control.clone());
    let run = worker.run(run_of(vec![shell("long", "sleep 60")]), &seams, signal);
    let canceling = async {
        bench.control.heard("step_started long").await;
        canceler.cancel();
    };
    let (end, ()) = tokio::join!(run, canceling);
    assert_eq!(end, RunEnd::Finished(RunOutcome::Canceled));
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_named_with_the_place_it_was_wanted_in() {
    let bench = Bench::new();
    let command = CommandStep {
        command: CommandLine::Argv(vec!["./no_such_program".to_owned()]),
        env: BTreeMap::new(),
        cwd: Some("jobs".to_owned()),
        pipes: PipesConfig::default(),
        sources: StepSources::default(),
    };
    let step = StepPlan { step: StepConfig::Command(command), ..noop("missing", &[]) };
    bench.run(run_of(vec![step])).await;
    let error = &bench.control.errors()[0];
    assert_eq!(error.code, ErrorCode::StepSpawn);
    assert!(error.message.contains("./no_such_program"), "{}", error.message);
    assert!(error.message.contains("working directory does not exist"), "{}", error.message);
}

#[tokio::test]
async fn a_file_that_cannot_be_executed_is_told_with_the_way_out() {
    for (name, mode, text, wanted) in [
        ("plain.sh", 0o644, "#!/bin/sh\n", "make ./plain.sh executable: chmod +x ./plain.sh"),
        ("bare.sh", 0o755, "echo\n", "./bare.sh has no first line that names its interpreter"),
    ] {
        let bench = Bench::new();
        let path = bench.settings.root.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let command = CommandStep {
            command: CommandLine::Argv(vec![format!("./{name}")]),
            env: BTreeMap::new(),
            cwd: None,
            pipes: PipesConfig::default(),
            sources: StepSources::default(),
        };
        let step = StepPlan { step: StepConfig::Command(command), ..noop("step", &[]) };
        bench.run(run_of(vec![step])).await;
        let error = bench.control.errors().pop().unwrap();
        assert_eq!(error.code, ErrorCode::StepSpawn);
        assert!(error.message.contains(wanted), "{error:?}");
    }
}

#[tokio::test]
async fn r196_independent_roots_both_run_before_either_ends() {
    let bench = Bench::new();
    let here = |name: &str| bench.folder.path().join(name).display().to_string();
    let meet = |mine: &str, other: &str| {
        let (mine, other) = (here(mine), here(other));
        format!("touch {mine}; until [ -e {other} ]; do sleep 0.01; done")
    };
    let timeout = Some(HumanDuration::from_secs(20));
    let one = StepPlan { timeout, ..shell("one", &meet("one", "two")) };
    let two = StepPlan { timeout, ..shell("two", &meet("two", "one")) };
    assert_eq!(bench.run(run_of(vec![one, two])).await, RunEnd::Finished(RunOutcome::Succeeded));
}

#[tokio::test]
async fn processes_end_when_their_run_is_dropped() {
    let bench = Bench::new();
    let file = bench.folder.path().join("running");
    let line = format!("echo $$ > {}; sleep 60", file.display());
    let pid = tokio::select! {
        end = bench.run(run_of(vec![shell("long", &line)])) => panic!("{end:?}"),
        pid = pid_in(&file) => pid,
    };
    until("the end of the process", || !is_alive(pid)).await;
}

/// The variable that turns the test below into a worker that shall be killed.
const VICTIM: &str = "MILLSTREAM_TEST_VICTIM";

#[tokio::test]
async fn no_process_outlives_a_worker_that_is_killed() {
    if let Ok(file) = std::env::var(VICTIM) {
        let line = format!("trap '' TERM; sleep 60 & echo $! > {file}; wait");
        Bench::new().run(run_of(vec![shell("orphan", &line)])).await;
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("grandchild");
    let name = "processes::no_process_outlives_a_worker_that_is_killed";
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(VICTIM, &file)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let grandchild = pid_in(&file).await;
    assert!(is_alive(grandchild));
    victim.kill().unwrap();
    victim.wait().unwrap();
    until("the end of the step", || !is_alive(grandchild)).await;
}
