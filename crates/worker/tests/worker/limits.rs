//! What steps may use: memory, processor time, processes, files, cores, and how much they may say.

use std::time::Duration;

use millstream_blob::{LogKey, LogStream};
use millstream_model::{
    ByteSize, ErrorCode, EventBody, HumanDuration, StepLimits, StepPlan, StepUsage, TenantId,
};
use millstream_plan::progress::RunOutcome;
use millstream_worker::RunEnd;
use rustix::process::{Pid, Signal, kill_process};

use crate::bench::{Bench, run_id, run_of, shell};
use crate::processes::{is_alive, pid_in, until};

/// A step of Perl, which starts faster than Python and takes memory as it is told.
fn perl(key: &str, script: &str, limits: StepLimits) -> StepPlan {
    StepPlan { limits, ..shell(key, &format!("perl -e '{script}'")) }
}

fn succeeded() -> RunEnd {
    RunEnd::Finished(RunOutcome::Succeeded)
}

/// What the attempts used, in the order of their ends.
fn usage(bench: &Bench) -> Vec<StepUsage> {
    let used = |event| match event {
        EventBody::StepSucceeded { usage, .. } | EventBody::StepFailed { usage, .. } => usage,
        _ => None,
    };
    bench.control.events().into_iter().filter_map(used).collect()
}

#[tokio::test]
async fn r019_500_mb_under_a_limit_of_200_mb_is_out_of_memory_and_says_limit_and_peak() {
    let bench = Bench::new();
    let limits = StepLimits { memory: Some(ByteSize(200 << 20)), ..StepLimits::NONE };
    let script = "$x = \"x\" x 500_000_000; sleep 60";
    bench.run(run_of(vec![perl("big", script, limits)])).await;
    let error = &bench.control.errors()[0];
    assert_eq!(error.code, ErrorCode::StepOutOfMemory);
    let peak = error.message.strip_prefix("out of memory: peak ").unwrap();
    let peak: ByteSize = peak.strip_suffix(", limit 200 MiB").unwrap().parse().unwrap();
    assert!(peak > ByteSize(200 << 20), "{}", error.message);
    assert!(usage(&bench)[0].peak_memory_bytes > 200 << 20);
}

#[tokio::test]
async fn r019_memory_counts_for_all_processes_of_a_step_together_also_those_that_left_its_group() {
    let bench = Bench::new();
    let limits = StepLimits { memory: Some(ByteSize(150 << 20)), ..StepLimits::NONE };
    let part = "perl -e '$x = \"x\" x 40_000_000; sleep 60'";
    let line = format!("setsid {part} & setsid {part} & {part}");
    let step = StepPlan { limits, ..shell("parts", &line) };
    bench.run(run_of(vec![step])).await;
    assert_eq!(bench.control.errors()[0].code, ErrorCode::StepOutOfMemory);
}

#[tokio::test]
async fn memory_that_forked_processes_share_counts_once() {
    let bench = Bench::new();
    let limits = StepLimits { memory: Some(ByteSize(150 << 20)), ..StepLimits::NONE };
    // A hundred megabytes, held by four processes for longer than two looks apart.
    let script = "$x = \"x\" x 50_000_000; fork; fork; select undef, undef, undef, 0.6; wait; wait";
    let end = bench.run(run_of(vec![perl("shared", script, limits)])).await;
    assert_eq!(end, succeeded(), "{:?}", bench.control.errors());
    let peak = usage(&bench)[0].peak_memory_bytes;
    assert!((90 << 20..150 << 20).contains(&peak), "{peak}");
}

#[tokio::test]
async fn a_step_over_its_processes_or_its_processor_time_is_ended_and_says_so() {
    let bench = Bench::new();
    let few = StepLimits { processes: Some(3), ..StepLimits::NONE };
    let many = StepPlan { limits: few, ..shell("many", "sleep 60 & sleep 60 & sleep 60 & wait") };
    let time = Some(HumanDuration(Duration::from_millis(300)));
    let short = StepLimits { cpu_time: time, ..StepLimits::NONE };
    // The time of a child counts too.
    let busy = StepPlan { limits: short, ..shell("busy", "(while :; do :; done) & wait") };
    bench.run(run_of(vec![many, busy])).await;
    let mut errors = bench.control.errors();
    errors.sort_by(|a, b| a.message.cmp(&b.message));
    assert!(errors.iter().all(|error| error.code == ErrorCode::StepLimit), "{errors:?}");
    assert_eq!(errors[0].message, "too many processes: 4, limit 3");
    assert!(errors[1].message.starts_with("too much processor time: "), "{errors:?}");
    assert!(errors[1].message.ends_with(", limit 300ms"), "{errors:?}");
    assert!(usage(&bench).iter().any(|used| used.cpu() >= Duration::from_millis(250)));
}

#[tokio::test]
async fn a_step_has_as_many_open_files_and_cores_as_its_limits_say() {
    let bench = Bench::new();
    let limits = StepLimits { open_files: Some(64), cpu: Some(1), ..StepLimits::NONE };
    // That nobody can raise the limit again is seen to when the process is there.
    let line = "ulimit -n; until [ $(ulimit -Hn) = 64 ]; do :; done; ulimit -Hn; nproc";
    let step = StepPlan { limits, ..shell("narrow", line) };
    let free = shell("free", "nproc");
    assert_eq!(bench.run(run_of(vec![step, free])).await, succeeded());
    assert_eq!(bench.log("narrow", 1, LogStream::Out).await, "64\n64\n1\n");
    let cores = std::thread::available_parallelism().unwrap();
    assert_eq!(bench.log("free", 1, LogStream::Out).await, format!("{cores}\n"));
}

#[tokio::test]
async fn a_limit_of_the_worker_holds_where_the_step_has_none() {
    let mut bench = Bench::new();
    bench.settings.limits.processes = Some(2);
    bench.run(run_of(vec![shell("many", "sleep 60 & sleep 60 & wait")])).await;
    assert_eq!(bench.control.errors()[0].message, "too many processes: 3, limit 2");
}

#[tokio::test]
async fn a_process_that_left_its_group_does_not_outlive_its_step() {
    let bench = Bench::new();
    let file = bench.folder.path().join("left");
    let line = format!(
        "setsid sh -c 'echo $$ > {0}; exec sleep 60 >/dev/null 2>&1' & \
                        until [ -s {0} ]; do sleep 0.01; done",
        file.display()
    );
    assert_eq!(bench.run(run_of(vec![shell("leave", &line)])).await, succeeded());
    assert!(!is_alive(pid_in(&file).await), "it runs on");
}

#[tokio::test]
async fn what_left_its_group_is_gone_when_a_step_is_made_again_after_its_supervisor_was_lost() {
    let bench = Bench::new();
    let path = |name: &str| bench.folder.path().join(name);
    // Many, so that to end them all takes longer than to say that the supervisor is gone.
    let line = format!(
        "if [ -e {0} ]; then \
           for pid in $(cat {0}); do grep -s '^State:.[^ZX]' /proc/$pid/status; done; exit 0; fi; \
         for i in $(seq 30); do setsid sleep 60 >/dev/null 2>&1 & echo $! >> {0}; done; \
         echo $PPID > {1}; wait",
        path("left").display(),
        path("supervisor").display()
    );
    let killing = async {
        kill_process(pid_in(&path("supervisor")).await, Signal::KILL).unwrap();
    };
    let (end, ()) = tokio::join!(bench.run(run_of(vec![shell("long", &line)])), killing);
    assert_eq!(end, succeeded());
    let left = bench.log("long", 1, LogStream::Out).await;
    assert_eq!(left, "", "they run on beside the next try");
}

#[tokio::test]
async fn a_process_that_left_its_group_does_not_outlive_a_canceled_run() {
    let mut bench = Bench::new();
    bench.settings.cancel_grace = Duration::from_secs(5);
    let file = bench.folder.path().join("left");
    let line = format!("setsid sh -c 'echo $$ > {}; exec sleep 60' & wait", file.display());
    let canceling = async {
        let pid: Pid = pid_in(&file).await;
        bench.control.cancel();
        pid
    };
    let (end, pid) = tokio::join!(bench.run(run_of(vec![shell("long", &line)])), canceling);
    assert_eq!(end, RunEnd::Finished(RunOutcome::Canceled));
    until("the end of what left its group", || !is_alive(pid)).await;
}

#[tokio::test]
async fn r135_a_step_that_never_completes_ends_at_its_timeout_with_its_progress_in_the_log() {
    let bench = Bench::new();
    let timeout = Some(HumanDuration(Duration::from_millis(700)));
    let line = "echo polling; until [ -e never ]; do sleep 0.05; echo not yet; done";
    bench.run(run_of(vec![StepPlan { timeout, ..shell("poll", line) }])).await;
    assert_eq!(bench.control.errors()[0].code, ErrorCode::StepTimeout);
    let log = bench.log("poll", 1, LogStream::Out).await;
    assert!(log.starts_with("polling\nnot yet\nnot yet\n"), "{log}");
}

#[tokio::test]
async fn g14_a_flood_is_capped_with_marks_and_the_step_goes_on_to_its_end() {
    let mut bench = Bench::new();
    bench.settings.output_max = ByteSize(1 << 20);
    // A grandchild writes to what it has inherited; the cap is the attempt's, not the process's.
    let line = "(head -c 300000000 /dev/zero) & wait; grep VmHWM /proc/$PPID/status > hwm";
    assert_eq!(bench.run(run_of(vec![shell("flood", line)])).await, succeeded());
    let size = 1 << 20;
    let log = bench.log_bytes("flood", LogStream::Out).await;
    let marks = String::from_utf8(log[size..].to_vec()).unwrap();
    let dropped = 300_000_000 - size;
    assert_eq!(
        marks,
        format!(
            "\n[millstream: output capped at 1 MiB; what follows is dropped]\n\
             [millstream: {dropped} bytes dropped]\n"
        )
    );
    assert!(log[..size].iter().all(|byte| *byte == 0), "binary output is kept as it is");
    assert_eq!(usage(&bench)[0].output_dropped_bytes, dropped as u64);
    // The step's parent is the supervisor, through which all of it came.
    let most = std::fs::read_to_string(bench.settings.root.join("hwm")).unwrap();
    let most: u64 = most.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(most < 50_000, "the supervisor took {most} kB");
}

#[tokio::test]
async fn g14_a_line_of_100_mb_is_kept_whole() {
    let bench = Bench::new();
    let line = "head -c 100000000 /dev/zero | tr '\\0' x; echo";
    assert_eq!(bench.run(run_of(vec![shell("line", line)])).await, succeeded());
    let path = log_path(&bench, "line");
    assert_eq!(std::fs::metadata(path).unwrap().len(), 100_000_001);
}

#[tokio::test]
async fn a_disk_that_is_full_costs_output_and_not_the_step() {
    let bench = Bench::new();
    let path = log_path(&bench, "talk");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/dev/full", path).unwrap();
    assert_eq!(bench.run(run_of(vec![shell("talk", "echo lost; echo $?")])).await, succeeded());
    assert_eq!(usage(&bench)[0].output_dropped_bytes, 7);
}

fn log_path(bench: &Bench, step: &str) -> std::path::PathBuf {
    bench.blobs().log_path(&log_key(step))
}

fn log_key(step: &str) -> LogKey {
    LogKey {
        tenant: TenantId::default_tenant(),
        run: run_id(),
        step: step.parse().unwrap(),
        attempt: 1,
        stream: LogStream::Out,
    }
}

/// The variable that turns the test below into a worker that shall be killed.
const VICTIM: &str = "MILLSTREAM_TEST_TALKING_VICTIM";

#[tokio::test]
async fn g14_what_a_step_said_before_its_worker_was_killed_is_in_the_log() {
    if let Ok(folder) = std::env::var(VICTIM) {
        let line = format!(
            "pwd > {folder}/where; echo $$ > {folder}/pid; i=0; \
             while :; do i=$((i+1)); echo $i; echo $i > {folder}/said; done"
        );
        // It leaves its group, and is ended all the same.
        let step = shell("talk", &format!("setsid sh -c '{line}' & wait"));
        Bench::new().run(run_of(vec![step])).await;
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let name = "limits::g14_what_a_step_said_before_its_worker_was_killed_is_in_the_log";
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(VICTIM, folder.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let talker = pid_in(&folder.path().join("pid")).await;
    let said = || {
        let text = std::fs::read_to_string(folder.path().join("said")).unwrap_or_default();
        text.trim().parse::<u64>().unwrap_or_default()
    };
    until("a thousand lines", || said() >= 1_000).await;
    victim.kill().unwrap();
    victim.wait().unwrap();
    until("the end of the step", || !is_alive(talker)).await;

    let root = std::fs::read_to_string(folder.path().join("where")).unwrap();
    let bench = std::path::Path::new(root.trim()).parent().unwrap();
    let logs = millstream_blob::Blobs::folder(bench.join("blobs"));
    let log = logs.log_path(&log_key("talk"));
    let last = || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines().last().and_then(|line| line.parse::<u64>().ok()).unwrap_or_default()
    };
    // The file is written in two steps, and may be empty when the end comes between them.
    let wanted = said().max(1_000);
    until("the last line", || last() >= wanted).await;
    println!("G14: a worker was killed after {wanted} lines of a step: 0 are missing in the log");
    std::fs::remove_dir_all(bench).unwrap();
}
