//! The loop that removes stored sources that nothing wants any more, with a look each day.
//!
//! **Invariant.** Nothing is removed unless all lists that can be used were read: one in a form
//! that is not known here might name any source. One that is damaged is of no use to any step, and
//! what restores it restores its sources too: it keeps nothing from being removed, and is told.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use millstream_blob::{BlobError, Blobs, KeptSource, SweptSources};
use millstream_control::{Control, Deletions, SourcesError, SourcesWatch, StoreError};
use millstream_model::{ContentHash, SourceSet, chain};
use tokio::sync::watch;

use crate::Daemon;
use crate::scan::scan;

/// How long after its begin a daemon looks first: not where it is there for one command.
pub(crate) const FIRST_LOOK: Duration = Duration::from_mins(10);

/// How often it looks from then on.
const LOOK_INTERVAL: Duration = Duration::from_hours(24);

/// What a look at the sources has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept {
    /// What was removed.
    pub sources: SweptSources,
    /// The files of lists that are wanted and damaged.
    pub damaged: Vec<PathBuf>,
}

/// Why no sources were removed.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// What is wanted is not known.
    #[error(transparent)]
    Wanted(#[from] SourcesError),
    /// The lease cannot be had.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The place of sources refused.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// A list that is whole has a form that this version does not know.
    #[error(
        "the list of sources in {path} has a form that this version does not know; have daemons \
         run the version that wrote it, or a later one"
    )]
    Unknown {
        /// Its file.
        path: PathBuf,
        /// What is not known about it.
        #[source]
        source: serde_json::Error,
    },
}

/// Removes the sources in `blobs` that are not wanted, as the daemon called `me`; nothing when
/// another daemon does, or once `stop` is true.
///
/// Crash-safe: what was not removed is removed by the next look.
pub async fn sweep_sources(
    control: &Control,
    blobs: &Blobs,
    (me, watch): (&str, &mut SourcesWatch),
    time_to_live: Duration,
    stop: &mut watch::Receiver<bool>,
) -> Result<Option<Swept>, SweepError> {
    if !control.hold_sources(me, watch, time_to_live).await? {
        return Ok(None);
    }
    let sweep = async {
        let (wanted, damaged) = wanted(control, blobs).await?;
        let sources = blobs.sweep_sources(wanted).await?;
        Ok(Some(Swept { sources, damaged }))
    };
    let swept = tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => Ok(None),
        swept = sweep => swept,
    };
    control.release_sources(me, watch).await?;
    swept
}

/// The lists that are wanted, with what they name, and the files of those that are damaged. One
/// that is gone or damaged names nothing: its files are of no use without it.
async fn wanted(
    control: &Control,
    blobs: &Blobs,
) -> Result<(BTreeSet<ContentHash>, Vec<PathBuf>), SweepError> {
    let lists = control.wanted_sources().await?;
    let (mut wanted, mut damaged) = (lists.clone(), Vec::new());
    for list in lists {
        match blobs.look_at_source(&list).await? {
            KeptSource::Gone => {}
            KeptSource::Damaged(path) => damaged.push(path),
            KeptSource::Whole(content) => {
                let set: SourceSet = serde_json::from_slice(&content).map_err(|source| {
                    SweepError::Unknown { path: blobs.source_path(&list), source }
                })?;
                wanted.extend(set.files.into_values().map(|file| file.content));
            }
        }
    }
    Ok((wanted, damaged))
}

impl Daemon {
    /// Looks after `first_look` and each day from then on, as long as the daemon scans its root.
    pub(crate) async fn sweep_loop(
        self: Arc<Self>,
        first_look: Duration,
        mut stop: watch::Receiver<bool>,
    ) {
        if !self.settings.scans {
            return;
        }
        let mut watch = SourcesWatch::default();
        let mut wait = first_look;
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(wait) => {}
            }
            let is_done = self.sweep_once(&mut watch, &mut stop).await;
            // The lease of a daemon that is gone is there to be had before the next day.
            wait = if is_done { LOOK_INTERVAL } else { FIRST_LOOK };
        }
    }

    /// Renews the sources of all that the root holds, then removes those that nobody wants. Says
    /// whether it has looked.
    async fn sweep_once(&self, watch: &mut SourcesWatch, stop: &mut watch::Receiver<bool>) -> bool {
        if let Err(error) = self.renew_sources().await {
            tracing::error!(%error, "no sources were removed, because they could not be renewed");
            return false;
        }
        let (blobs, me) = (&self.location.blobs, self.settings.name.as_str());
        let time_to_live = self.settings.patience.time_to_live;
        match sweep_sources(&self.control, blobs, (me, watch), time_to_live, stop).await {
            Ok(Some(swept)) => {
                say(&swept);
                true
            }
            Ok(None) => false,
            Err(error) => {
                let error = chain(&error);
                tracing::error!(error, "no sources were removed; the next day tries again");
                true
            }
        }
    }

    /// Has the root to itself for one scan alone: what it stores afterwards is young, and stays.
    async fn renew_sources(&self) -> Result<(), StoreError> {
        let mut root = self.root.lock().await;
        root.renew_sources();
        scan(&self.control, &self.location.name, &mut root, Deletions::Guarded).await.map(|_| ())
    }
}

fn say(swept: &Swept) {
    let Swept { sources: SweptSources { removed, bytes }, damaged } = swept;
    if *removed > 0 {
        tracing::info!(removed, bytes, "sources that no version wants were removed");
    }
    if let Some(first) = damaged.first() {
        tracing::warn!(
            "{} lists of sources are damaged, the first in {}: runs of their versions fail, until \
             the folder of sources is restored from a backup or the files of the versions are \
             scanned again",
            damaged.len(),
            first.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;
    use std::time::SystemTime;

    use futures_util::FutureExt as _;
    use futures_util::future::BoxFuture;
    use millstream_blob::SOURCE_UNUSED;
    use millstream_control::{Patience, QueueLimits, Seams, Store};
    use millstream_launch::{LaunchError, RunLauncher, WorkerName};
    use millstream_model::ClaimedRun;
    use millstream_model::worker_api::RunToken;
    use millstream_testkit::chance::SeededEntropy;
    use millstream_testkit::time::FakeClock;

    use super::*;
    use crate::{Location, Settings};

    const STEP: &str = "nodes: [{ id: a, type: command, config: { command: [sh, work.sh] } }]";

    struct NoLauncher;

    impl RunLauncher for NoLauncher {
        fn launch(
            &self,
            run: ClaimedRun,
            _token: RunToken,
        ) -> BoxFuture<'_, Result<WorkerName, LaunchError>> {
            std::future::ready(Ok(WorkerName::of(&run))).boxed()
        }

        fn stop<'a>(&'a self, _worker: &'a WorkerName) -> BoxFuture<'a, ()> {
            std::future::ready(()).boxed()
        }
    }

    /// A daemon of a project with a script of two versions, whose sources nobody has touched for
    /// two weeks; and one source that nobody wants.
    struct Bed {
        home: tempfile::TempDir,
        daemon: Arc<Daemon>,
        /// The list of the first version.
        list: PathBuf,
        unwanted: PathBuf,
    }

    async fn bed() -> Bed {
        let home = tempfile::tempdir().unwrap();
        let seams = Seams {
            clock: Arc::new(FakeClock::default()),
            entropy: Arc::new(SeededEntropy::new(1)),
        };
        let control = Control::new(Store::in_memory().unwrap(), seams);
        let (name, root) = ("project".parse().unwrap(), home.path().to_owned());
        control.add_location(&name, "here").await.unwrap();
        let blobs = Blobs::folder(root.join(".millstream"));
        let settings = Settings {
            name: "one".to_owned(),
            limits: QueueLimits::of(None),
            patience: Patience::new(Duration::from_mins(10), 1),
            scan_interval: Duration::from_mins(10),
            scans: true,
            ticks: false,
            runs: false,
        };
        let location = Location { name, root: root.clone(), project: root, blobs: blobs.clone() };
        let daemon = Arc::new(Daemon::new(control, Arc::new(NoLauncher), settings, location));
        std::fs::write(home.path().join("a.yaml"), STEP).unwrap();
        let mut lists = Vec::new();
        for version in 1..=2 {
            let script = format!("echo version {version}");
            std::fs::write(home.path().join("work.sh"), script).unwrap();
            daemon.renew_sources().await.unwrap();
            let wanted = wanted(&daemon.control, &blobs).await.unwrap().0.into_iter();
            let paths = wanted.map(|hash| blobs.source_path(&hash));
            lists.extend(paths.filter(|path| std::fs::read(path).unwrap().starts_with(b"{")));
        }
        let unwanted = blobs.put_source(b"unwanted").await.unwrap();
        let unwanted = blobs.source_path(&unwanted);
        age(&unwanted);
        let list = lists.into_iter().next().unwrap();
        Bed { home, daemon, list, unwanted }
    }

    fn age(path: &Path) {
        let old = SystemTime::now() - 2 * SOURCE_UNUSED;
        std::fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    }

    #[tokio::test]
    async fn the_loop_removes_what_nobody_wants_and_ends_when_it_is_told() {
        let Bed { home: _home, daemon, unwanted, .. } = bed().await;
        let (stop, stopped) = watch::channel(false);
        let sweeping = tokio::spawn(daemon.sweep_loop(Duration::ZERO, stopped));
        let gone = async {
            while unwanted.exists() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap();
        stop.send_replace(true);
        tokio::time::timeout(Duration::from_secs(30), sweeping).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_look_that_takes_long_leaves_the_root_to_others_and_ends_when_it_is_told() {
        let Bed { home: _home, daemon, list, unwanted } = bed().await;
        // A list that nobody has written yet: whoever reads it waits.
        std::fs::remove_file(&list).unwrap();
        assert!(Command::new("mkfifo").arg(&list).status().unwrap().success());
        let (stop, mut stopped) = watch::channel(false);
        let looking = Arc::clone(&daemon);
        let looking = tokio::spawn(async move {
            let mut watch = SourcesWatch::default();
            looking.sweep_once(&mut watch, &mut stopped).await
        });
        let open = move || std::fs::File::options().write(true).open(list);
        let held = tokio::task::spawn_blocking(open).await.unwrap().unwrap();
        assert!(daemon.root.try_lock().is_ok(), "it is being read, and the root is free");
        stop.send_replace(true);
        let has_looked = tokio::time::timeout(Duration::from_secs(30), looking).await;
        assert!(!has_looked.unwrap().unwrap());
        assert!(unwanted.exists());
        drop(held);
    }
}
