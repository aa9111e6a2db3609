//! The loop that gives committed events their place in the log, where no commit does it itself.
//!
//! It is the last loop of a daemon to end: what the others store at their end is published by it.

use std::sync::Arc;
use std::time::Duration;

use millstream_control::PublishWatch;

use crate::Daemon;
use crate::daemon::{AFTER_FAILURE, Flag};

/// Events that are committed within this time are published together.
const PUBLISH_PASS_MIN: Duration = Duration::from_millis(10);

/// Passes that publish what is left, at most: others go on to commit.
const LAST_PASSES: usize = 20;

/// How long the last passes may take where the database is away.
const LAST_MAX: Duration = Duration::from_secs(5);

impl Daemon {
    /// Publishes until `stop`, and then what has been said last; only then another daemon does.
    pub(crate) async fn publish_loop(self: Arc<Self>, mut stop: Flag) {
        let mut changes = self.control.store().changes();
        let mut rounds = self.pulses.rounds();
        let mut watch = PublishWatch::default();
        let time_to_live = self.settings.patience.time_to_live;
        loop {
            self.pulses.beat("publisher").await;
            changes.mark_unchanged();
            rounds.mark_seen();
            let pass = self.control.publish(&self.settings.name, &mut watch, time_to_live);
            let pause = match pass.await {
                Ok(_) => PUBLISH_PASS_MIN,
                Err(error) => {
                    tracing::error!(%error, "events could not be published; it is repeated");
                    AFTER_FAILURE
                }
            };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                () = self.pulses.rest(pause, async { tokio::select! {
                    _ = changes.changed() => {}
                    () = rounds.next(None) => {}
                } }) => {}
            }
        }
        let last = async {
            for _ in 0..LAST_PASSES {
                if self.control.publish(&self.settings.name, &mut watch, time_to_live).await? == 0 {
                    break;
                }
            }
            self.control.release_publisher(&self.settings.name).await?;
            // Who stands by looks at once at all that is given back.
            self.control.store().announce_now().await
        };
        match tokio::time::timeout(LAST_MAX, last).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "others find out later that it is over"),
            Err(_) => tracing::debug!("others find out later that it is over"),
        }
    }
}
