//! Notifications from the file system: they only say "look now".

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_model::is_python;
use notify::event::{CreateKind, EventKind, ModifyKind};
use notify::{Event, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use crate::sources::Watched;

/// Folders that are watched beside the root's.
const FOLDERS_MAX: usize = 10_000;

/// A watch on a folder; it ends when this is dropped.
pub(crate) struct FolderWatch {
    watcher: Option<notify::RecommendedWatcher>,
    root: PathBuf,
    elsewhere: Arc<Mutex<Elsewhere>>,
    changed: mpsc::Receiver<()>,
}

/// What is watched outside of the folder.
#[derive(Debug, Default)]
struct Elsewhere {
    wanted: Watched,
    /// The folders with a watch. One that was removed or renamed has none any more, even when
    /// another has its name.
    held: BTreeSet<PathBuf>,
}

impl FolderWatch {
    /// Watches what is below `path`. Where that is not possible (the folder does not exist, the
    /// limit of watches is reached) the scan interval alone finds changes.
    pub(crate) fn start(path: &Path) -> Self {
        let (sender, changed) = mpsc::channel(1);
        let elsewhere: Arc<Mutex<Elsewhere>> = Arc::default();
        let (root, known) = (path.to_owned(), Arc::clone(&elsewhere));
        let notice = move |event: notify::Result<Event>| {
            let Ok(event) = event else { return };
            let matters = lock(&known).matters(&event, &root);
            // A full channel has already said "look".
            if matters && sender.try_send(()).is_err() {}
        };
        let watcher = notify::recommended_watcher(notice).and_then(|mut watcher| {
            watcher.watch(path, RecursiveMode::Recursive).map(|()| watcher)
        });
        if let Err(error) = &watcher {
            tracing::debug!(path = %path.display(), %error, "the folder cannot be watched");
        }
        Self { watcher: watcher.ok(), root: path.to_owned(), elsewhere, changed }
    }

    /// Watches this too, instead of what the last call named. Beyond the limit of folders the scan
    /// interval alone finds changes; a folder that cannot be watched is tried again.
    pub(crate) fn also(&mut self, wanted: Watched) {
        let Some(watcher) = &mut self.watcher else { return };
        let folders = folders_of(&wanted, &self.root);
        let held = {
            let mut elsewhere = lock(&self.elsewhere);
            elsewhere.wanted = wanted;
            elsewhere.held.clone()
        };
        // The watcher calls for each event, also while it takes an order: nothing is locked here.
        for gone in held.difference(&folders) {
            if let Err(error) = watcher.unwatch(gone) {
                tracing::debug!(path = %gone.display(), %error, "the folder was not watched");
            }
            lock(&self.elsewhere).held.remove(gone);
        }
        for new in folders.difference(&held) {
            // First, so that a removal right after the watch begins is not missed.
            lock(&self.elsewhere).held.insert(new.clone());
            if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                tracing::debug!(path = %new.display(), %error, "the folder cannot be watched");
                lock(&self.elsewhere).held.remove(new);
            }
        }
    }

    /// Waits until something below the folder has changed; for ever when it cannot be watched.
    pub(crate) async fn changed(&mut self) {
        if self.changed.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

impl Elsewhere {
    /// Whether to look, now that this has happened.
    fn matters(&mut self, event: &Event, root: &Path) -> bool {
        if event.kind.is_access() {
            return false;
        }
        let is_over =
            matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
        let mut has_lost = false;
        for path in event.paths.iter().filter(|_| is_over) {
            has_lost |= self.held.remove(path);
        }
        let is_new_folder = matches!(event.kind, EventKind::Create(CreateKind::Folder));
        let is_ours = |path: &PathBuf| path.starts_with(root) || self.has(path, is_new_folder);
        has_lost || event.paths.is_empty() || event.paths.iter().any(is_ours)
    }

    fn has(&self, path: &Path, is_new_folder: bool) -> bool {
        let Watched { files, modules, folders } = &self.wanted;
        let is_module = || is_new_folder || path.to_str().is_some_and(is_python);
        files.contains(path)
            || path.parent().is_some_and(|folder| {
                folders.contains(folder) || (modules.contains(folder) && is_module())
            })
    }
}

/// The folders to watch, without those below `root`, which are watched.
fn folders_of(wanted: &Watched, root: &Path) -> BTreeSet<PathBuf> {
    let of_files = wanted.files.iter().filter_map(|file| file.parent());
    let folders = wanted.modules.iter().chain(&wanted.folders).map(PathBuf::as_path);
    let all: BTreeSet<&Path> = of_files.chain(folders).collect();
    let elsewhere = all.into_iter().filter(|folder| !folder.starts_with(root));
    elsewhere.take(FOLDERS_MAX).map(Path::to_owned).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A project with a root, a named folder and modules, and the watch on it.
    fn watched() -> (tempfile::TempDir, FolderWatch) {
        let project = tempfile::tempdir().unwrap();
        let path = |name: &str| project.path().join(name);
        for folder in ["dags", "lib/words", "pkg"] {
            std::fs::create_dir_all(path(folder)).unwrap();
        }
        let mut watch = FolderWatch::start(&path("dags"));
        watch.also(wanted(project.path()));
        (project, watch)
    }

    fn wanted(project: &Path) -> Watched {
        let paths = |names: &[&str]| names.iter().map(|name| project.join(name)).collect();
        Watched {
            files: paths(&["work.sh", "lib", "pkg/tasks.py"]),
            modules: paths(&["pkg"]),
            folders: paths(&["lib", "lib/words"]),
        }
    }

    /// Makes the change, and waits until the watch has told of it.
    async fn notices(watch: &mut FolderWatch, change: impl FnOnce()) {
        while watch.changed.try_recv().is_ok() {}
        change();
        let told = tokio::time::timeout(std::time::Duration::from_mins(1), watch.changed());
        told.await.expect("the change is noticed");
    }

    #[tokio::test]
    async fn a_new_file_in_a_named_folder_and_a_new_module_are_noticed() {
        let (project, mut watch) = watched();
        for name in ["lib/words/new.txt", "pkg/new.py", "work.sh", "dags/new.yaml"] {
            notices(&mut watch, || std::fs::write(project.path().join(name), "").unwrap()).await;
        }
        notices(&mut watch, || std::fs::create_dir(project.path().join("lib/more")).unwrap()).await;
        notices(&mut watch, || std::fs::create_dir(project.path().join("pkg/sub")).unwrap()).await;
    }

    #[tokio::test]
    async fn a_folder_that_was_removed_and_made_again_is_watched_again() {
        let (project, mut watch) = watched();
        let words = project.path().join("lib/words");
        notices(&mut watch, || std::fs::remove_dir(&words).unwrap()).await;
        watch.also(wanted(project.path()));
        let held = |watch: &FolderWatch| lock(&watch.elsewhere).held.contains(&words);
        assert!(!held(&watch), "what has no watch is not remembered");
        std::fs::create_dir(&words).unwrap();
        watch.also(wanted(project.path()));
        assert!(held(&watch));
        while watch.changed.try_recv().is_ok() {}
        notices(&mut watch, || std::fs::write(words.join("new.txt"), "").unwrap()).await;
    }

    #[test]
    fn what_a_step_writes_beside_its_sources_is_no_news() {
        let project = Path::new("/project");
        let mut elsewhere = Elsewhere { wanted: wanted(project), held: BTreeSet::new() };
        let kind = EventKind::Create(CreateKind::File);
        let mut matters = |name: &str| {
            let event = Event::new(kind).add_path(project.join(name));
            elsewhere.matters(&event, &project.join("dags"))
        };
        assert_eq!(["out.csv", "pkg/out.csv", "other/a.py"].map(&mut matters), [false; 3]);
        assert_eq!(["dags/a.yaml", "work.sh", "lib/a.txt"].map(&mut matters), [true; 3]);
    }
}
