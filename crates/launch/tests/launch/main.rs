//! Both launchers with real workers: in this process, and in processes of their own over HTTP.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

mod server;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use millstream_blob::{Blobs, LogKey, LogStream};
use millstream_launch::{ControlPlane, LaunchError, LocalLauncher, ProcessLauncher, RunLauncher};
use millstream_model::worker_api::{Assignment, RunToken};
use millstream_model::{
    ClaimedRun, CommandLine, CommandStep, PipesConfig, RetryPolicy, RunId, RunPlan, StepConfig,
    StepLimits, StepPlan, StepSources, TenantDef, TenantId, Timestamp,
};
use millstream_worker::{HttpControlPlane, Supervisor, Worker, WorkerSettings};
use tempfile::TempDir;

use crate::server::Server;

const WORKER: &str = env!("CARGO_BIN_EXE_millstream-worker");

fn claimed(random: u8) -> ClaimedRun {
    ClaimedRun {
        tenant: TenantId::default_tenant(),
        run: RunId::new(Timestamp::from_micros(1_000_000), [random; 10]),
        epoch: 3,
    }
}

fn token() -> RunToken {
    RunToken::new("secret-token".to_owned())
}

/// A run of one line for the shell.
fn assignment(claimed: &ClaimedRun, line: &str) -> Assignment {
    let command = CommandLine::Shell(line.to_owned());
    let step = StepPlan {
        key: "step".parse().unwrap(),
        depends_on: Vec::new(),
        step: StepConfig::Command(CommandStep {
            command,
            env: BTreeMap::new(),
            cwd: None,
            pipes: PipesConfig::default(),
            sources: StepSources::default(),
        }),
        handler: None,
        timeout: None,
        retry: RetryPolicy::NEVER,
        limits: StepLimits::NONE,
        pool: None,
        asset: None,
    };
    Assignment {
        tenant: claimed.tenant.clone(),
        run: claimed.run,
        epoch: claimed.epoch,
        plan: RunPlan {
            tenant: claimed.tenant.clone(),
            tenant_def: TenantDef::default(),
            location: "local".parse().unwrap(),
            job: Some("job".parse().unwrap()),
            partition: None,
            dimensions: BTreeMap::new(),
            steps: vec![step],
            resources: BTreeMap::new(),
            max_parallel: None,
            tags: BTreeMap::new(),
            retries: None,
            timeout: None,
            priority: 0,
        },
        context: serde_json::Map::new(),
        queued_at: Timestamp::from_micros(1_000_000),
        progress: Vec::new(),
        provenance: BTreeMap::new(),
    }
}

fn process_launcher(folder: &Path, url: String) -> ProcessLauncher {
    ProcessLauncher {
        program: PathBuf::from(WORKER),
        args: vec![folder.display().to_string()],
        env: BTreeMap::new(),
        url,
        logs: folder.join("workers"),
        ..ProcessLauncher::default()
    }
}

async fn log_of(folder: &Path, claimed: &ClaimedRun) -> String {
    let key = LogKey {
        tenant: claimed.tenant.clone(),
        run: claimed.run,
        step: "step".parse().unwrap(),
        attempt: 1,
        stream: LogStream::Out,
    };
    let part = Blobs::folder(folder.to_owned()).read_log(&key, 0, 10_000).await.unwrap();
    String::from_utf8(part.bytes).unwrap()
}

#[tokio::test]
async fn r016_two_runs_have_a_process_each_and_no_environment_of_another() {
    let folder = tempfile::tempdir().unwrap();
    // The grandparent of the step is the worker: the supervisor stands between them.
    let line = r#"cut -d " " -f 4 /proc/$PPID/stat; env"#;
    let (one, two) = (claimed(1), claimed(2));
    let server = Server::start(vec![assignment(&one, line), assignment(&two, line)]).await;
    let launcher = process_launcher(folder.path(), server.url());
    for run in [&one, &two] {
        let name = launcher.launch(run.clone(), token()).await.unwrap();
        assert_eq!(name.as_str(), format!("run-{}-3", run.run));
    }
    server.heard("run_succeeded", 2).await;

    let mut workers = Vec::new();
    for run in [&one, &two] {
        let log = log_of(folder.path(), run).await;
        workers.push(log.lines().next().unwrap().to_owned());
        assert!(log.contains(&format!("MILLSTREAM_RUN_ID={}\n", run.run)), "{log}");
        assert!(!log.contains("secret-token"), "the step sees the run's token");
    }
    assert_ne!(workers[0], workers[1]);
    assert!(!workers.contains(&std::process::id().to_string()));
}

#[tokio::test]
async fn launching_the_same_epoch_again_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let run = claimed(1);
    let server = Server::start(vec![assignment(&run, "true")]).await;
    let launcher = process_launcher(folder.path(), server.url());
    launcher.launch(run.clone(), token()).await.unwrap();
    server.heard("run_succeeded", 1).await;
    launcher.launch(run.clone(), token()).await.unwrap();
    let names: Vec<_> = std::fs::read_dir(folder.path().join("workers")).unwrap().collect();
    assert_eq!(names.len(), 1);
    assert_eq!(server.assignments_given(), 1);
}

#[tokio::test]
async fn a_worker_whose_server_does_not_answer_at_first_asks_again() {
    let folder = tempfile::tempdir().unwrap();
    let run = claimed(1);
    let server = Server::start_after(2, vec![assignment(&run, "true")]).await;
    let launcher = process_launcher(folder.path(), server.url());
    launcher.launch(run, token()).await.unwrap();
    server.heard("run_succeeded", 1).await;
    assert_eq!(server.assignments_given(), 1);
}

#[tokio::test]
async fn a_program_that_does_not_start_fails_the_launch_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut launcher = process_launcher(folder.path(), "http://127.0.0.1:1".to_owned());
    launcher.program = folder.path().join("no_such_program");
    let error = launcher.launch(claimed(1), token()).await.unwrap_err();
    assert!(matches!(error, LaunchError::Process { .. }), "{error}");
    launcher.program = PathBuf::from(WORKER);
    launcher.launch(claimed(1), token()).await.unwrap();
}

/// A launcher of tasks that talk to `server`.
fn local_launcher(folder: &TempDir, server: &Server) -> LocalLauncher {
    let program = PathBuf::from(WORKER);
    let (root, scratch) = (folder.path().to_owned(), folder.path().join("scratch"));
    let mut settings = WorkerSettings::new("test".to_owned(), root, scratch, program.clone());
    settings.beat_every = Duration::from_hours(1);
    let supervisor = Supervisor::new(program, Vec::new());
    let worker = Worker::new(settings, supervisor, Blobs::folder(folder.path().to_owned()));
    let control: Arc<dyn ControlPlane> =
        Arc::new(HttpControlPlane::new(&server.url(), token()).unwrap());
    LocalLauncher::new(worker, control)
}

#[tokio::test]
async fn a_local_run_that_is_launched_twice_runs_once_and_can_be_canceled_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let run = claimed(1);
    let server = Server::start(vec![assignment(&run, "sleep 60")]).await;
    let launcher = local_launcher(&folder, &server);
    let first = RunLauncher::launch(&launcher, run.clone(), token()).await.unwrap();
    let second = RunLauncher::launch(&launcher, run.clone(), token()).await.unwrap();
    assert_eq!(first, second);
    server.heard("step_started", 1).await;
    launcher.cancel(run.run);
    server.heard("run_canceled", 1).await;
    assert_eq!(server.count("run_started"), 1);
}

#[tokio::test]
async fn a_control_plane_that_gives_no_assignment_fails_the_launch() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Vec::new()).await;
    let error = RunLauncher::launch(&local_launcher(&folder, &server), claimed(9), token()).await;
    assert!(matches!(error, Err(LaunchError::Assignment { .. })));
}

/// How many processes live that were started in `folder`.
fn processes_in(folder: &Path) -> usize {
    let folder = folder.canonicalize().unwrap();
    let lives_there = |process: &std::fs::DirEntry| {
        std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&folder))
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter(lives_there).count()
}

#[tokio::test]
async fn shutting_down_reports_nothing_and_gives_runs_back_when_their_processes_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let run = claimed(1);
    // Their supervisor stands still, so that nothing ends them until it is woken.
    let line = "(sleep 60 &); kill -STOP $PPID; echo $PPID > new; mv new supervisor; sleep 60";
    let server = Server::start(vec![assignment(&run, line)]).await;
    let launcher = local_launcher(&folder, &server);
    RunLauncher::launch(&launcher, run.clone(), token()).await.unwrap();
    let supervisor = folder.path().join("supervisor");
    let begun = async {
        while !supervisor.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), begun).await.unwrap();
    let mut ending = Box::pin(launcher.shut_down());
    for _ in 0..1_000 {
        assert!((&mut ending).now_or_never().is_none(), "processes are there");
        tokio::task::yield_now().await;
    }
    assert!(processes_in(folder.path()) > 0);
    let supervisor = std::fs::read_to_string(supervisor).unwrap();
    let woken = std::process::Command::new("kill").args(["-CONT", supervisor.trim()]).status();
    assert!(woken.unwrap().success());
    assert_eq!(ending.await, [run]);
    assert_eq!(processes_in(folder.path()), 0);
    assert_eq!(server.count("step_failed") + server.count("run_failed"), 0);
}
