//! Notifications from the file system: they only say "look now".

use std::path::Path;

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// A watch on a folder; it ends when this is dropped.
pub(crate) struct FolderWatch {
    _watcher: Option<notify::RecommendedWatcher>,
    changed: mpsc::Receiver<()>,
}

impl FolderWatch {
    /// Watches what is below `path`. Where that is not possible (the folder does not exist, the
    /// limit of watches is reached) the scan interval alone finds changes.
    pub(crate) fn start(path: &Path) -> Self {
        let (sender, changed) = mpsc::channel(1);
        let notice = move |event: notify::Result<notify::Event>| {
            let matters = event.is_ok_and(|event| !event.kind.is_access());
            // A full channel has already said "look".
            if matters && sender.try_send(()).is_err() {}
        };
        let watcher = notify::recommended_watcher(notice).and_then(|mut watcher| {
            watcher.watch(path, RecursiveMode::Recursive).map(|()| watcher)
        });
        if let Err(error) = &watcher {
            tracing::debug!(path = %path.display(), %error, "the folder cannot be watched");
        }
        Self { _watcher: watcher.ok(), changed }
    }

    /// Waits until something below the folder has changed; for ever when it cannot be watched.
    pub(crate) async fn changed(&mut self) {
        if self.changed.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
