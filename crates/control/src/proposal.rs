//! What a change of the definition files would do, before it is made.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::view::PartitionState;
use millstream_model::{
    AssetDef, ContentHash, FileManifest, FileVersion, LocationName, Manifest, PartitionsDef,
    Timestamp,
};
use millstream_plan::changes::{
    Changes, KEYS_MAX, MadeToday, PartsOfTenant, PartsToday, SourceSets, changes, divided_anew,
};

use crate::job_off::{Words, job_off};
use crate::lapsing::Waiting;
use crate::retimed::{ByHand, retimed};
use crate::sensing::sensing;
use crate::{Control, ControlError};

/// Definition files as somebody wants them, by name; files that are not named are gone.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// What each declares; null for one with errors, whose live version then stays.
    pub files: BTreeMap<String, Option<FileManifest>>,
    /// What the sources of their steps consist of, as far as that is sent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: SourceSets,
}

/// What it means to have `new` live instead of `old`, seen at `now`.
pub fn changes_between(old: &Manifest, new: &Manifest, now: Timestamp) -> Changes {
    let retimed = retimed(old, new, (&ByHand::new(), now));
    let sensing = sensing(old, new);
    let job_off = job_off(old, new, &Words::new());
    Changes { retimed, sensing, job_off, ..changes(old, new, None) }
}

impl Control {
    /// What it would do to have `proposal` live. Nothing is changed.
    pub async fn plan_change(&self, proposal: Proposal) -> Result<Changes, ControlError> {
        let Some(location) = self.store.locations().await?.into_iter().next() else {
            return Ok(Changes::default());
        };
        let live = self.live_files(&location.name).await?;
        let mut wanted = BTreeMap::new();
        for (name, content) in proposal.files {
            let kept = live.iter().find(|(version, _)| version.name == name);
            if let Some(content) = content.or_else(|| kept.map(|(_, content)| content.clone())) {
                wanted.insert(name, content);
            }
        }
        let old = live.iter().map(|(version, content)| (version.name.as_str(), content));
        let new = wanted.iter().map(|(name, content)| (name.as_str(), content));
        let (old, new) = (merged(&location.name, old), merged(&location.name, new));
        let made = self.made_today().await?;
        let parts = self.parts_today(&old, &new).await?;
        let by_hand = self.switched_by_hand(&location.name).await?;
        let retimed = retimed(&old, &new, (&by_hand, self.now()));
        let sensing = sensing(&old, &new);
        let words = self.words_in(&old, &new).await?;
        let job_off = job_off(&old, &new, &words);
        let waiting = self.left_waiting(&old, &new, &words).await?;
        let Waiting { lapsing, skipped, kept, made_up, held } = waiting;
        let today = Some((&made, &parts));
        let changes = Changes { retimed, sensing, job_off, ..changes(&old, &new, today) };
        Ok(Changes { lapsing, skipped, kept, made_up, held, ..changes })
    }

    /// What is different between two versions of a file.
    pub async fn version_diff(
        &self,
        file: &str,
        numbers: (u32, u32),
    ) -> Result<Changes, ControlError> {
        let (old, new) = self.two_versions(file, numbers).await?;
        let location = self.file_history(file).await?.file.location;
        let alone = |content| merged(&location, [(file, content)].into_iter());
        Ok(changes_between(&alone(&old), &alone(&new), self.now()))
    }

    /// The schedules of a location that somebody has switched by hand.
    async fn switched_by_hand(&self, location: &LocationName) -> Result<ByHand, ControlError> {
        let stored = self.stored_schedules(location).await?;
        Ok(stored.into_iter().filter_map(|(key, it)| Some((key, it.override_on?))).collect())
    }

    /// How many materializations of each asset count today, of each tenant and each partition, by
    /// the code that made the newest of the tenant's.
    async fn made_today(&self) -> Result<MadeToday, ControlError> {
        let mut made = MadeToday::new();
        let catalog = self.catalog().await?;
        for tenant in catalog.tenant_ids() {
            for row in self.asset_rows_in(&catalog, &tenant).await? {
                let Some(latest) = row.latest else { continue };
                let count = match row.partitions {
                    Some(_) => row.counts.get(&PartitionState::Materialized).copied(),
                    None => Some(1),
                };
                let version = latest.known_code().map(str::to_owned);
                let of_asset = made.entry(row.asset).or_default();
                *of_asset.entry(version).or_default() += count.unwrap_or_default();
            }
        }
        Ok(made)
    }

    /// What is stored of the partitions of the assets that `new` divides in another way.
    async fn parts_today(
        &self,
        old: &Manifest,
        new: &Manifest,
    ) -> Result<PartsToday, ControlError> {
        let mut today = PartsToday { now: self.now(), tenants: BTreeMap::new() };
        let divided: Vec<(&AssetDef, &AssetDef)> = divided_anew(old, new).collect();
        if divided.is_empty() {
            return Ok(today);
        }
        let sides = divided.iter().flat_map(|(before, after)| [(old, *before), (new, *after)]);
        let names = sides.filter_map(|(manifest, asset)| {
            let (name, def) = manifest.partitions.get_key_value(asset.partitions.as_ref()?)?;
            matches!(def, PartitionsDef::Dynamic(_)).then_some(name)
        });
        let names: BTreeSet<_> = names.collect();
        let mut tenants = self.catalog().await?.tenant_ids();
        tenants.retain(|tenant| new.tenants.contains_key(tenant));
        for tenant in tenants {
            let mut parts = PartsOfTenant::default();
            for (_, asset) in &divided {
                let made = self.store.keys_made(&tenant, &asset.key, KEYS_MAX).await?;
                parts.made.insert(asset.key.clone(), made);
            }
            for name in &names {
                let added =
                    self.store.dynamic_partitions(&tenant, name, ("", ""), KEYS_MAX).await?;
                parts.added.insert((*name).clone(), added.into_iter().collect());
            }
            today.tenants.insert(tenant, parts);
        }
        Ok(today)
    }
}

fn merged<'f>(
    location: &LocationName,
    files: impl Iterator<Item = (&'f str, &'f FileManifest)>,
) -> Manifest {
    let files = files.map(|(name, content)| {
        let hash = ContentHash::from_stored(String::new());
        (FileVersion { name: name.to_owned(), hash }, content)
    });
    Manifest::merge(location.clone(), files)
}
