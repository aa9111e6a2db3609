//! What a daemon has taken over into the store, and when it has to look at all of it again.

use std::collections::BTreeMap;

use millstream_model::{LocationName, Timestamp};
use millstream_store::StoreError;
use millstream_store::leases::Held;

use crate::Control;

/// How often what is live is taken over while others do that too.
const TRIES: u32 = 5;

/// The versions of the locations whose schedules, or sensors, are in the store.
///
/// When to look at one again is stored by the clock of whoever stored it. That may have been ahead
/// where somebody else held the lease, or where this clock was set back: then all are compared
/// anew.
#[derive(Debug, Default)]
pub(crate) struct Adopted {
    pub(crate) versions: BTreeMap<LocationName, i64>,
    /// Under which lease; none where somebody switches something.
    pub(crate) held: Option<Held>,
    seen: Option<Timestamp>,
}

impl Adopted {
    /// A pass begins at `now` under this lease.
    pub(crate) fn begin(&mut self, held: &Held, now: Timestamp) {
        let was_set_back = self.seen.is_some_and(|seen| now < seen);
        if was_set_back || self.held.as_ref() != Some(held) {
            self.versions.clear();
        }
        (self.held, self.seen) = (Some(held.clone()), Some(now));
    }
}

impl Control {
    /// Takes the schedules and sensors that are live now over into the store, without waiting for
    /// the daemon that lets them tick.
    pub async fn take_over_live(&self) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            let catalog = self.catalog().await?;
            let (mut schedules, mut sensors) = (Adopted::default(), Adopted::default());
            let taking = async {
                self.adopt_schedules(&catalog, &mut schedules).await?;
                self.adopt_sensors(&catalog, &mut sensors).await
            };
            match taking.await {
                Ok(()) => {}
                Err(error) if error.is_conflict() => continue,
                Err(error) => return Err(error),
            }
            let mut all = catalog.schedules();
            if all.all(|(it, version, _)| schedules.versions.get(&it.location) == Some(&version)) {
                return Ok(());
            }
        }
        tracing::debug!("what ticks is decided all the time; a daemon takes the rest over");
        Ok(())
    }
}
