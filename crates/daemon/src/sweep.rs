//! The loop that removes stored sources that nothing wants any more, with a look each day.
//!
//! **Invariant.** Nothing is removed unless all that is wanted was read: a list that is there and
//! cannot be read might name any source.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use millstream_blob::{BlobError, Blobs, KeptSource, SweptSources};
use millstream_control::{Control, Deletions, SourcesError, SourcesWatch, StoreError};
use millstream_model::{ContentHash, SourceSet, chain};
use tokio::sync::watch;

use crate::Daemon;
use crate::scan::scan;

/// How long after its begin a daemon looks first: not where it is there for one command.
const FIRST_LOOK: Duration = Duration::from_mins(10);

/// How often it looks from then on.
const LOOK_INTERVAL: Duration = Duration::from_hours(24);

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
    /// A list that is wanted cannot be read.
    #[error("the list of sources {} is damaged, so nothing is removed", .0.short())]
    Damaged(ContentHash),
}

/// Removes the sources in `blobs` that are not wanted, as the daemon called `me`; nothing when
/// another daemon does.
///
/// Crash-safe: what was not removed is removed by the next look.
pub async fn sweep_sources(
    control: &Control,
    blobs: &Blobs,
    (me, watch): (&str, &mut SourcesWatch),
    time_to_live: Duration,
) -> Result<Option<SweptSources>, SweepError> {
    if !control.hold_sources(me, watch, time_to_live).await? {
        return Ok(None);
    }
    let swept = async {
        let wanted = wanted(control, blobs).await?;
        Ok(Some(blobs.sweep_sources(wanted).await?))
    };
    let swept = swept.await;
    control.release_sources(me, watch).await?;
    swept
}

/// The lists that are wanted, and what they name. One that is gone names nothing: its files are of
/// no use without it.
async fn wanted(control: &Control, blobs: &Blobs) -> Result<BTreeSet<ContentHash>, SweepError> {
    let lists = control.wanted_sources().await?;
    let mut wanted = lists.clone();
    for list in lists {
        let damaged = || SweepError::Damaged(list.clone());
        match blobs.look_at_source(&list).await? {
            KeptSource::Gone => {}
            KeptSource::Damaged => return Err(damaged()),
            KeptSource::Whole(content) => {
                let set: SourceSet = serde_json::from_slice(&content).map_err(|_| damaged())?;
                wanted.extend(set.files.into_values().map(|file| file.content));
            }
        }
    }
    Ok(wanted)
}

impl Daemon {
    /// Looks each day, as long as the daemon scans its root.
    pub(crate) async fn sweep_loop(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        if !self.settings.scans {
            return;
        }
        let mut watch = SourcesWatch::default();
        let mut wait = FIRST_LOOK;
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(wait) => {}
            }
            let is_done = self.sweep_once(&mut watch).await;
            // The lease of a daemon that is gone is there to be had before the next day.
            wait = if is_done { LOOK_INTERVAL } else { FIRST_LOOK };
        }
    }

    /// Renews the sources of all that the root holds, then removes those that nobody wants. Says
    /// whether it has looked.
    async fn sweep_once(&self, watch: &mut SourcesWatch) -> bool {
        let mut root = self.root.lock().await;
        root.renew_sources();
        let renewed = scan(&self.control, &self.location.name, &mut root, Deletions::Guarded);
        if let Err(error) = renewed.await {
            tracing::error!(%error, "no sources were removed, because they could not be renewed");
            return false;
        }
        let (blobs, me) = (&self.location.blobs, self.settings.name.as_str());
        let time_to_live = self.settings.patience.time_to_live;
        match sweep_sources(&self.control, blobs, (me, watch), time_to_live).await {
            Ok(Some(swept)) if swept.removed > 0 => {
                let SweptSources { removed, bytes } = swept;
                tracing::info!(removed, bytes, "sources that no version wants were removed");
                true
            }
            Ok(swept) => swept.is_some(),
            Err(error) => {
                let error = chain(&error);
                tracing::error!(error, "no sources were removed; the next day tries again");
                true
            }
        }
    }
}
