//! The loops themselves, and how they end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use millstream_blob::Blobs;
use millstream_control::{
    ClaimedRun, Control, DaemonRequest, Deletions, LostWatch, Patience, QueueLimits, QueueWatch,
    Rollback, TickWatch,
};
use millstream_launch::RunLauncher;
use millstream_model::{DaemonAnswer, ErrorCode, LocationName, RollbackOutcome, chain};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use crate::answers::Answers;
use crate::files::Root;
use crate::lost::lost_pass;
use crate::passes::{Launch, claim, hand_back, launch_claimed, queue_once_wanted, schedule_pass};
use crate::pulse::Pulses;
use crate::rollback::rollback;
use crate::scan::{SETTLE, ScanReport, scan};
use crate::senses::Senses;
use crate::sensors::{SensorLoop, tick_sensor, try_sensor};
use crate::sweep::FIRST_LOOK;
use crate::watch::FolderWatch;

/// How a daemon works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name, unique among the daemons of the store.
    pub name: String,
    /// What limits the queue.
    pub limits: QueueLimits,
    /// When a worker or a daemon counts as gone, and how often a run may lose one.
    pub patience: Patience,
    /// How often definition roots are scanned, beside what notifications say.
    pub scan_interval: Duration,
    /// Whether definition roots are scanned at all.
    pub scans: bool,
    /// Whether schedules tick, and the daemon is listed: not where it is there for one command.
    pub ticks: bool,
    /// Whether runs that wait are started from the beginning: where a daemon is there for one
    /// command they are not, or only once it is told that the command waits for runs of its own,
    /// because their workers end with it.
    pub runs: bool,
}

/// A code location of files.
#[derive(Debug, Clone)]
pub struct Location {
    /// Its name.
    pub name: LocationName,
    /// The folder that its files are below.
    pub root: PathBuf,
    /// The project's folder, which the sources of steps are below.
    pub project: PathBuf,
    /// Where these sources are kept.
    pub blobs: Blobs,
}

/// One daemon.
pub struct Daemon {
    pub(crate) control: Control,
    launcher: Arc<dyn RunLauncher>,
    pub(crate) settings: Settings,
    pub(crate) location: Location,
    pub(crate) root: Mutex<Root>,
    senses: Option<Senses>,
    pub(crate) pulses: Pulses,
}

/// A daemon that runs.
pub struct DaemonHandle {
    stop: watch::Sender<bool>,
    begin: watch::Sender<bool>,
    loops: JoinSet<()>,
    /// The publisher, which is told to end once the others have said their last.
    publisher: (watch::Sender<bool>, JoinSet<()>),
    scanned: Flag,
}

/// What is raised once.
pub(crate) type Flag = watch::Receiver<bool>;

/// How often a root that is not there is looked for.
const ROOT_LOOK: Duration = Duration::from_secs(1);

/// How long a loop waits after a failure of the store.
pub(crate) const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How often each second the queue is looked at, however much changes.
const QUEUE_PASS_MIN: Duration = Duration::from_millis(1);

/// The least time between two passes over the schedules because something changed; one that is
/// due is not kept waiting.
const TICK_PASS_MIN: Duration = Duration::from_millis(100);

/// The least time between two such passes while ticks wait for runs to end.
const TICK_WAIT_MIN: Duration = Duration::from_millis(10);

/// The least time between two looks at requests: runs that begin and end wake this loop too.
const REQUEST_PASS_MIN: Duration = Duration::from_millis(10);

impl DaemonHandle {
    /// Whether the definitions have been scanned once: the server is not ready before.
    pub fn scanned(&self) -> watch::Receiver<bool> {
        self.scanned.clone()
    }

    /// Starts runs that wait, from now on, where none were started so far.
    pub fn begin_runs(&self) {
        self.begin.send_replace(true);
    }

    /// Ends the loops between two passes, and waits until they have ended.
    pub async fn stop(self) {
        self.stop_after(std::future::ready(())).await;
    }

    /// The same; what `last` stores is published before another daemon does that.
    pub async fn stop_after(mut self, last: impl Future<Output = ()>) {
        end(&self.stop, &mut self.loops).await;
        last.await;
        let (stop, publisher) = &mut self.publisher;
        end(stop, publisher).await;
    }
}

/// Tells `loops` to end, and waits until they have.
async fn end(stop: &watch::Sender<bool>, loops: &mut JoinSet<()>) {
    stop.send_replace(true);
    while let Some(ended) = loops.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a loop of the daemon has panicked");
        }
    }
}

impl Daemon {
    /// A daemon over `control` that launches workers with `launcher`.
    pub fn new(
        control: Control,
        launcher: Arc<dyn RunLauncher>,
        settings: Settings,
        location: Location,
    ) -> Self {
        let root = Root::new(location.root.clone());
        let root = root.with_sources(location.project.clone(), location.blobs.clone());
        let root = Mutex::new(root);
        let pulses = Pulses::new(control.clone());
        Self { control, launcher, settings, location, root, senses: None, pulses }
    }

    /// The same daemon, one of whose loops stands still from the beginning: for tests of what is
    /// seen of it.
    #[must_use]
    pub fn freezing(self, name: &str) -> Self {
        Self { pulses: self.pulses.freezing(name), ..self }
    }

    /// The same daemon, which asks sensors with `senses`.
    #[must_use]
    pub fn asking(self, senses: Senses) -> Self {
        Self { senses: Some(senses), ..self }
    }

    /// Starts the loops.
    pub fn start(self) -> DaemonHandle {
        let (stop, stopped) = watch::channel(false);
        let (scanned_sender, scanned) = watch::channel(false);
        if self.settings.ticks {
            self.expect_loops();
        }
        tracing::info!(daemon = self.settings.name, "daemon starting");
        let daemon = Arc::new(self);
        let mut loops = JoinSet::new();
        let (name, time_to_live) = (&daemon.settings.name, daemon.settings.patience.time_to_live);
        let pulses = daemon.pulses.clone();
        loops.spawn(pulses.tell(name.clone(), time_to_live / 3, stopped.clone()));
        let (begin, wanted) = watch::channel(daemon.settings.runs);
        loops.spawn(queue_once_wanted(Arc::clone(&daemon), wanted, stopped.clone()));
        loops.spawn(Arc::clone(&daemon).lost_loop(stopped.clone()));
        if daemon.settings.ticks {
            loops.spawn(Arc::clone(&daemon).schedule_loop(stopped.clone()));
            if let Some(senses) = daemon.senses.clone() {
                let (control, settings) = (daemon.control.clone(), daemon.settings.clone());
                let pulses = daemon.pulses.clone();
                let sensors = SensorLoop { control, settings, senses, pulses };
                loops.spawn(sensors.run(stopped.clone()));
            }
        }
        loops.spawn(Arc::clone(&daemon).request_loop(stopped.clone()));
        let (end, ended) = watch::channel(false);
        let mut publisher = JoinSet::new();
        if daemon.control.needs_publisher() {
            publisher.spawn(Arc::clone(&daemon).publish_loop(ended));
        }
        loops.spawn(Arc::clone(&daemon).sweep_loop(FIRST_LOOK, stopped.clone()));
        loops.spawn(daemon.scan_loop(stopped, scanned_sender));
        DaemonHandle { stop, begin, loops, publisher: (end, publisher), scanned }
    }

    /// The loops that are started are heard of from now on, each within two times-to-live: they
    /// get around at least three times in each, and a scan once in its interval.
    fn expect_loops(&self) {
        let silence_max = self.settings.patience.time_to_live * 2;
        let mut names = vec!["losses", "requests", "schedules"];
        names.extend(self.settings.runs.then_some("queue"));
        names.extend(self.senses.as_ref().map(|_| "sensors"));
        if self.control.needs_publisher() {
            names.push("publisher");
        }
        for name in names {
            self.pulses.expect(name, silence_max);
        }
        if self.settings.scans {
            self.pulses.expect("scans", silence_max + self.settings.scan_interval);
        }
    }

    pub(crate) async fn queue_loop(self: Arc<Self>, mut stop: Flag) {
        let mut changes = self.control.store().daemon_changes();
        let mut rounds = self.pulses.rounds();
        let mut watch = QueueWatch::default();
        // Tasks of their own: one that waits for the database and is not looked at, because the
        // next pass is under way, would keep the connection that this pass waits for.
        let mut launches = JoinSet::new();
        // A launcher that fails is given time before the same runs are tried again.
        let mut pause = QUEUE_PASS_MIN;
        loop {
            self.pulses.beat("queue").await;
            let claims_max = self.settings.limits.claims_max.saturating_sub(launches.len());
            let is_full = claims_max == 0;
            if !is_full {
                changes.mark_unchanged();
                rounds.mark_seen();
                match claim(&self.control, &mut watch, &self.settings, claims_max).await {
                    Ok(claimed) => claimed.into_iter().for_each(|run| {
                        launches.spawn(Arc::clone(&self).launch(run, stop.clone()));
                    }),
                    Err(error) => {
                        tracing::error!(%error, "a pass over the queue failed; it is repeated");
                        pause = AFTER_FAILURE;
                    }
                }
            }
            let least = std::mem::replace(&mut pause, QUEUE_PASS_MIN);
            let next = self.pulses.rest(least, async {
                tokio::select! {
                    _ = changes.changed(), if !is_full => {}
                    () = rounds.next(watch.look_again()), if !is_full => {}
                    () = std::future::pending(), if is_full => {}
                }
            });
            let mut next = std::pin::pin!(next);
            // Launches go on while the next pass is waited for; a slow one keeps nothing back.
            let ends = loop {
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => break true,
                    () = &mut next => break false,
                    Some(launch) = launches.join_next() => {
                        if let Err(error) = &launch {
                            tracing::error!(%error, "a launch has panicked");
                        }
                        if !matches!(launch, Ok(Launch::Started)) {
                            pause = AFTER_FAILURE;
                        }
                        if is_full {
                            break false;
                        }
                    }
                }
            };
            if ends {
                break;
            }
        }
        // Those that are not done hand their runs back.
        while launches.join_next().await.is_some() {}
        if let Err(error) = self.control.release_queue(&self.settings.name).await {
            tracing::debug!(%error, "the queue's lease runs out by itself");
        }
    }

    /// Launches the worker of a claimed run, or hands the run back when the daemon ends before.
    async fn launch(self: Arc<Self>, run: ClaimedRun, mut stop: Flag) -> Launch {
        let ends = async { _ = stop.wait_for(|stop| *stop).await };
        tokio::select! {
            biased;
            launch = launch_claimed(&self.control, &*self.launcher, &run, &self.settings) => launch,
            () = ends => {
                hand_back(&self.control, [run]).await;
                Launch::Failed
            }
        }
    }

    async fn lost_loop(self: Arc<Self>, mut stop: Flag) {
        let mut changes = self.control.store().changes();
        let mut rounds = self.pulses.rounds();
        let mut watch = LostWatch::default();
        // A timeout is noticed by the next pass that comes.
        let interval = self.settings.patience.look_every();
        loop {
            self.pulses.beat("losses").await;
            changes.mark_unchanged();
            rounds.mark_seen();
            let (launcher, patience) = (&*self.launcher, self.settings.patience);
            if let Err(error) = lost_pass(&self.control, launcher, &mut watch, patience).await {
                tracing::error!(%error, "the runs in progress could not be looked at");
            }
            // Where nothing is in progress, nothing is lost before something has changed.
            let is_idle = watch.is_idle();
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                () = self.pulses.rest(interval, async { tokio::select! {
                    _ = changes.changed(), if is_idle => {}
                    () = rounds.next(None), if is_idle => {}
                    else => {}
                } }) => {}
            }
        }
    }

    /// Wakes when a schedule is due, when something changed, and often enough to keep the lease.
    async fn schedule_loop(self: Arc<Self>, mut stop: Flag) {
        let mut changes = self.control.store().daemon_changes();
        let mut rounds = self.pulses.rounds();
        let mut watch = TickWatch::default();
        loop {
            self.pulses.beat("schedules").await;
            changes.mark_unchanged();
            rounds.mark_seen();
            let pass = schedule_pass(&self.control, &mut watch, &self.settings).await;
            let (least, due) = match pass {
                Ok(pass) if pass.unsettled > 0 => (AFTER_FAILURE, Some(Duration::ZERO)),
                Ok(pass) => {
                    let due = pass.next_due.map(|due| due.since(self.control.now()));
                    let least = if pass.waiting > 0 { TICK_WAIT_MIN } else { TICK_PASS_MIN };
                    (due.map_or(least, |due| due.min(least)), due)
                }
                Err(error) => {
                    tracing::error!(%error, "a pass over the schedules failed; it is repeated");
                    (AFTER_FAILURE, Some(Duration::ZERO))
                }
            };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                () = self.pulses.rest(least, async { tokio::select! {
                    _ = changes.changed() => {}
                    () = rounds.next(due) => {}
                } }) => {}
            }
        }
        if let Err(error) = self.control.release_schedules(&self.settings.name).await {
            tracing::debug!(%error, "the schedules' lease runs out by itself");
        }
    }

    async fn scan_loop(self: Arc<Self>, mut stop: Flag, scanned: watch::Sender<bool>) {
        if !self.settings.scans {
            scanned.send_replace(true);
            return;
        }
        tracing::info!(
            "[DAG_LOADER] Starting DAG loader (scan_interval={}ms)",
            self.settings.scan_interval.as_millis()
        );
        tracing::info!("[LOCAL_SOURCE] Scanning directory: {}", self.location.root.display());
        let mut folder = FolderWatch::start(&self.location.root);
        let mut watching = self.location.root.is_dir();
        loop {
            self.pulses.beat("scans").await;
            if let Err(error) = self.scan_once(Deletions::Guarded).await {
                tracing::error!(%error, "a scan could not be stored; it is repeated");
            }
            scanned.send_replace(true);
            if !watching && self.location.root.is_dir() {
                folder = FolderWatch::start(&self.location.root);
                watching = true;
            }
            folder.also(self.root.lock().await.watched());
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                () = folder.changed() => {}
                () = appears(&self.location.root), if !watching => {}
                () = tokio::time::sleep(self.settings.scan_interval) => continue,
            }
            tokio::time::sleep(SETTLE).await;
        }
    }

    async fn scan_once(
        &self,
        deletions: Deletions,
    ) -> Result<ScanReport, millstream_control::StoreError> {
        let mut root = self.root.lock().await;
        scan(&self.control, &self.location.name, &mut root, deletions).await
    }

    async fn request_loop(self: Arc<Self>, mut stop: Flag) {
        let mut changes = self.control.store().daemon_changes();
        let mut rounds = self.pulses.rounds();
        let mut answers = Answers::default();
        loop {
            self.pulses.beat("requests").await;
            changes.mark_unchanged();
            rounds.mark_seen();
            match self.control.open_requests().await {
                Ok(requests) => {
                    for request in requests.into_iter().filter(|it| self.answers(it)) {
                        let (daemon, id) = (Arc::clone(&self), request.id.clone());
                        answers.begin(&id, async move { daemon.answer(&request).await });
                    }
                }
                Err(error) => tracing::error!(%error, "requests could not be looked at"),
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                () = self.pulses.rest(REQUEST_PASS_MIN, async { tokio::select! {
                    _ = changes.changed() => {}
                    () = rounds.next(None) => {}
                    () = answers.place() => {}
                } }) => {}
            }
        }
    }

    /// Whether the request is one for this daemon: a scan is left to one that scans.
    fn answers(&self, request: &DaemonRequest) -> bool {
        self.settings.scans || request.kind != "scan"
    }

    async fn answer(&self, request: &DaemonRequest) {
        let answer = match request.kind.as_str() {
            "scan" => {
                let accepted = serde_json::from_str::<serde_json::Value>(&request.body)
                    .is_ok_and(|body| body.get("accept_deletions") == Some(&true.into()));
                let deletions = if accepted { Deletions::Accepted } else { Deletions::Guarded };
                match self.scan_asked(deletions).await {
                    Ok(report) => serde_json::json!(report),
                    Err(error) => serde_json::json!({ "error": error.to_string() }),
                }
            }
            "sensor_test" => {
                let senses = self.senses.as_ref();
                serde_json::json!(try_sensor(&self.control, senses, &request.body).await)
            }
            "sensor_tick" => {
                let senses = self.senses.as_ref();
                serde_json::json!(tick_sensor(&self.control, senses, &request.body).await)
            }
            "rollback" => {
                let blobs = &self.location.blobs;
                serde_json::json!(roll_back(&self.control, blobs, &request.body).await)
            }
            other => serde_json::json!({ "error": format!("no daemon knows how to {other}") }),
        };
        if let Err(error) = self.control.answer_request(&request.id, &answer.to_string()).await {
            tracing::error!(%error, request = request.id, "an answer could not be stored");
        }
    }
}

/// The answer to a wish for an older version of a file.
async fn roll_back(control: &Control, blobs: &Blobs, body: &str) -> DaemonAnswer<RollbackOutcome> {
    let wish: Rollback = match serde_json::from_str(body) {
        Ok(wish) => wish,
        Err(error) => return DaemonAnswer::failed(ErrorCode::BadRequest, error.to_string()),
    };
    match rollback(control, blobs, wish).await {
        Ok(outcome) => DaemonAnswer::Done(outcome),
        Err(error) => DaemonAnswer::failed(error.code(), chain(&error)),
    }
}

/// Waits until there is a folder at `root`.
async fn appears(root: &Path) {
    while !root.is_dir() {
        tokio::time::sleep(ROOT_LOOK).await;
    }
}
