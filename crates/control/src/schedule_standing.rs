//! Where each schedule stands by its definition: new, edited, switched, renamed or gone.
//!
//! A daemon calls [`Control::adopt_schedules`] before it lets anything tick. What a tick does is
//! [`crate::ticks`]'s.

use std::collections::BTreeMap;

use millstream_decide::schedule::{Look, Standing, adopt, brought_forward};
use millstream_model::{LocationName, Manifest, TenantDef, TenantId, TickKind, TickSource};
use millstream_store::sources::{self, StoredSource, look_soon_unless};
use millstream_store::{Batch, StoreError};

use crate::Control;
use crate::adopted::Adopted;
use crate::catalog::Catalog;
use crate::live_schedules::LiveSchedules;

/// Schedules of one location, over all tenants.
pub(crate) const SCHEDULES_MAX: u32 = 200_000;

/// Schedules that are stored in one batch.
const ADOPTED_AT_ONCE: usize = 1_000;

impl Control {
    /// Takes the schedules of `catalog` over into the store where they are new, edited, switched by
    /// a variable, renamed or gone. A daemon that knows older definitions changes nothing.
    pub(crate) async fn adopt_schedules(
        &self,
        catalog: &Catalog,
        adopted: &mut Adopted,
    ) -> Result<(), StoreError> {
        for (manifest, version, live) in catalog.schedules() {
            let location = &manifest.location;
            if adopted.versions.get(location) == Some(&version) {
                continue;
            }
            let mut known = self.stored_schedules(location).await?;
            if self.rename_schedules(live, &known).await? {
                known = self.stored_schedules(location).await?;
            }
            let mut changed = self.changed_schedules(manifest, version, live, &known);
            let mut lapsed = self.lapsed(live, &changed, &known).await?;
            changed.extend(gone_schedules(version, live, known));
            changed.sort_by(|a, b| a.tenant.cmp(&b.tenant));
            let mut is_whole = true;
            for of_tenant in changed.chunk_by(|a, b| a.tenant == b.tenant) {
                for chunk in of_tenant.chunks(ADOPTED_AT_ONCE) {
                    let Some(first) = chunk.first() else { continue };
                    let mut batch = Batch::for_tenant(&first.tenant);
                    lapsed.add(&mut batch, &first.tenant, chunk);
                    sources::adopt(&mut batch, chunk);
                    if let Some(held) = &adopted.held {
                        let sources = chunk.iter().map(|it| &it.source);
                        look_soon_unless(held, &mut batch, &first.tenant, sources);
                    }
                    match self.store.apply(batch).await {
                        Ok(_) => {}
                        // Somebody has decided a tick that was to lapse: the next pass looks anew.
                        Err(error) if error.is_conflict() => is_whole = false,
                        Err(error) => return Err(error),
                    }
                }
            }
            if is_whole {
                adopted.versions.insert(location.clone(), version);
            }
        }
        Ok(())
    }

    pub(crate) async fn stored_schedules(
        &self,
        location: &LocationName,
    ) -> Result<BTreeMap<(TenantId, String), StoredSource>, StoreError> {
        let stored = self.store.sources_of_location(TickKind::Schedule, location, SCHEDULES_MAX);
        let by_name =
            stored.await?.into_iter().map(|it| ((it.tenant.clone(), it.source.name.clone()), it));
        Ok(by_name.collect())
    }

    /// Gives what is stored the new names; whether anything had an old one.
    async fn rename_schedules(
        &self,
        live: &LiveSchedules,
        known: &BTreeMap<(TenantId, String), StoredSource>,
    ) -> Result<bool, StoreError> {
        let mut renamed = false;
        for schedule in live.iter() {
            let key = |name: &str| (schedule.tenant.clone(), name.to_owned());
            let old = live.stored_as(schedule, |name| known.contains_key(&key(name)));
            let name = schedule.def.name.as_str();
            if let (true, Some(stored)) = (old != name, known.get(&key(old))) {
                let batch = sources::rename(&schedule.tenant, &stored.source, name);
                match self.store.apply(batch).await {
                    Ok(_) => renamed = true,
                    Err(error) if error.is_conflict() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(renamed)
    }

    fn changed_schedules(
        &self,
        manifest: &Manifest,
        version: i64,
        live: &LiveSchedules,
        known: &BTreeMap<(TenantId, String), StoredSource>,
    ) -> Vec<StoredSource> {
        let now = self.now();
        let mut changed = Vec::new();
        for schedule in live.iter() {
            let name = schedule.def.name.to_string();
            let stored = known.get(&(schedule.tenant.clone(), name.clone()));
            let override_on = stored.and_then(|stored| stored.override_on);
            let switch = (manifest, &schedule.def.enabled);
            let named = (&schedule.tenant, name.as_str());
            let (default_on, is_on) = self.on_by_file_and_word(switch, named, override_on);
            let standing = stored.map(standing);
            let catch_up = schedule.def.catch_up;
            let moved = adopt(&schedule.timing, standing.as_ref(), Look { is_on, catch_up, now });
            let (standing, next_due) = match (moved, stored) {
                (Some(moved), _) => moved,
                (None, Some(stored)) => {
                    let due = stored.next_due.map(|due| (stored.cursor, due));
                    let sooner = due.and_then(|due| brought_forward(&schedule.timing, due, now));
                    if sooner.is_none() && stored.default_on == default_on {
                        continue;
                    }
                    (self::standing(stored), sooner.or(stored.next_due))
                }
                (None, None) => continue,
            };
            let location = manifest.location.clone();
            changed.push(StoredSource {
                tenant: schedule.tenant.clone(),
                source: TickSource { kind: TickKind::Schedule, location, name },
                version,
                timing: standing.timing,
                cursor: standing.cursor,
                next_due,
                default_on,
                override_on,
            });
        }
        changed
    }

    /// What conditions can name: `env` and `tenant`.
    pub(crate) fn names(&self, id: &TenantId, def: Option<&TenantDef>) -> serde_json::Value {
        let tenant = def.map(|def| def.seen(id));
        serde_json::json!({ "env": &*self.env, "tenant": tenant })
    }
}

/// Where a stored schedule stands; one that nobody looks at is off.
pub(crate) fn standing(stored: &StoredSource) -> Standing {
    Standing {
        cursor: stored.cursor,
        timing: stored.timing.clone(),
        is_on: stored.next_due.is_some(),
    }
}

/// What is stored and in no definition any more: it stays with its cursor, and is never due.
fn gone_schedules(
    version: i64,
    live: &LiveSchedules,
    known: BTreeMap<(TenantId, String), StoredSource>,
) -> impl Iterator<Item = StoredSource> {
    known
        .into_iter()
        .filter(|(key, stored)| !live.0.contains_key(key) && stored.next_due.is_some())
        .map(move |(_, stored)| StoredSource {
            version,
            next_due: None,
            default_on: false,
            ..stored
        })
}
