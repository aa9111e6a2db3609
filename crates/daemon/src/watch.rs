//! Notifications from the file system: they only say "look now".

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use millstream_model::is_python;
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// Files whose folders are watched beside the root's.
const FOLDERS_MAX: usize = 10_000;

/// A watch on a folder; it ends when this is dropped.
pub(crate) struct FolderWatch {
    watcher: Option<notify::RecommendedWatcher>,
    root: PathBuf,
    /// Files outside of the folder that matter.
    files: Arc<Mutex<BTreeSet<PathBuf>>>,
    /// The folders that these are in.
    folders: BTreeSet<PathBuf>,
    changed: mpsc::Receiver<()>,
}

impl FolderWatch {
    /// Watches what is below `path`. Where that is not possible (the folder does not exist, the
    /// limit of watches is reached) the scan interval alone finds changes.
    pub(crate) fn start(path: &Path) -> Self {
        let (sender, changed) = mpsc::channel(1);
        let files: Arc<Mutex<BTreeSet<PathBuf>>> = Arc::default();
        let (root, known) = (path.to_owned(), Arc::clone(&files));
        let notice = move |event: notify::Result<notify::Event>| {
            let files = known.lock().unwrap_or_else(PoisonError::into_inner);
            let is_ours = |path: &PathBuf| {
                path.starts_with(&root) || files.contains(path) || is_new_module(path, &files)
            };
            let matters = event.is_ok_and(|event| {
                !event.kind.is_access()
                    && (event.paths.is_empty() || event.paths.iter().any(is_ours))
            });
            // A full channel has already said "look".
            if matters && sender.try_send(()).is_err() {}
        };
        let watcher = notify::recommended_watcher(notice).and_then(|mut watcher| {
            watcher.watch(path, RecursiveMode::Recursive).map(|()| watcher)
        });
        if let Err(error) = &watcher {
            tracing::debug!(path = %path.display(), %error, "the folder cannot be watched");
        }
        let root = path.to_owned();
        Self { watcher: watcher.ok(), root, files, folders: BTreeSet::new(), changed }
    }

    /// Watches these files too, instead of those of the last call. Beyond the limit of folders the
    /// scan interval alone finds changes.
    pub(crate) fn also(&mut self, files: BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        let folders: BTreeSet<PathBuf> = files
            .iter()
            .filter_map(|file| file.parent())
            .filter(|folder| !folder.starts_with(&self.root))
            .take(FOLDERS_MAX)
            .map(Path::to_owned)
            .collect();
        for gone in self.folders.difference(&folders) {
            if let Err(error) = watcher.unwatch(gone) {
                tracing::debug!(path = %gone.display(), %error, "the folder was not watched");
            }
        }
        for new in folders.difference(&self.folders) {
            if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                tracing::debug!(path = %new.display(), %error, "the folder cannot be watched");
            }
        }
        self.folders = folders;
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = files;
    }

    /// Waits until something below the folder has changed; for ever when it cannot be watched.
    pub(crate) async fn changed(&mut self) {
        if self.changed.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// Whether a file in Python lies beside one of `files` that is one.
fn is_new_module(path: &Path, files: &BTreeSet<PathBuf>) -> bool {
    let is_module = |path: &Path| path.to_str().is_some_and(is_python);
    let beside = |file: &&PathBuf| file.parent() == path.parent() && is_module(file);
    is_module(path) && files.iter().any(|file| beside(&file))
}
