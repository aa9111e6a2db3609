//! What a reply to a sensor's question comes to: requests, keys of partitions, a cursor.
//!
//! Nothing is stored here; a test tick ends with it, a real one goes on in
//! [`crate::sensor_ticks`].

use std::collections::{BTreeMap, BTreeSet};

use millstream_decide::sensor::{
    Draft, Found, NamedKeys, cursor_of_rows, draft, keys_of_rows, new_files, of_answer,
    read_answer, rows, sync,
};
use millstream_model::{
    ErrorCode, PartitionKey, PartitionSync, PartitionsChange, PartitionsDef, PartitionsName,
    SensorAnswer, SensorQuestion, SkipReason, TickWarning,
};
use millstream_plan::{is_key_of, tenant_of};
use millstream_store::StoreError;
use serde_json::{Map, Value};

pub use millstream_decide::sensor::FileSeen;

use crate::Control;
use crate::live_schedules::division;
use crate::sensor_asking::SensorAsking;
use crate::sensor_rest::resting;
use crate::webhooks::Read;

/// Keys of dynamic partitions that a synchronization compares.
const KEYS_MAX: u32 = 1_000_000;

/// What whoever was asked has said.
#[derive(Debug, Clone, PartialEq)]
pub enum SensorReply {
    /// A value: an answer, or rows.
    Value(Value),
    /// That there is nothing to do, and why.
    Skipped(String),
    /// The files that are there, sorted.
    Files(Vec<FileSeen>),
    /// Nothing: nobody was asked, because the sensor rests ([`Control::rests`]).
    Resting,
    /// Nothing: the store itself has the answer.
    None,
}

/// What a tick comes to.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Outcome {
    pub(crate) draft: Draft,
    pub(crate) partitions: BTreeMap<PartitionsName, PartitionsChange>,
    /// What that really changes.
    pub(crate) real: BTreeMap<PartitionsName, PartitionsChange>,
    /// What is remembered from now on.
    pub(crate) cursor: Option<String>,
    /// What is to be told of it beside what could not be requested.
    pub(crate) note: Option<TickWarning>,
    /// The deliveries that it has read.
    pub(crate) read: Read,
    /// Why nothing is requested, where that is known already.
    pub(crate) skipped: Option<SkipReason>,
    /// Whether there is more, so that the next tick comes at once.
    pub(crate) is_partial: bool,
    /// What a log says of it, for people who search for it.
    pub(crate) said: Vec<String>,
}

impl Control {
    /// What `reply` comes to, or what is wrong with it.
    pub(crate) async fn outcome_of(
        &self,
        asking: &SensorAsking,
        reply: SensorReply,
    ) -> Result<Result<Outcome, TickWarning>, StoreError> {
        let cursor = asking.cursor.clone();
        Ok(match (&asking.def.question, reply) {
            (_, SensorReply::Skipped(reason)) => {
                let skipped = Some(SkipReason::Said { reason });
                Ok(Outcome { cursor, skipped, ..Outcome::default() })
            }
            (_, SensorReply::Resting) => Ok(resting(asking)),
            (SensorQuestion::Own { .. }, SensorReply::Value(value)) => {
                self.of_own(asking, value).await?
            }
            (SensorQuestion::Rows { cursor: template, .. }, SensorReply::Value(value)) => {
                self.of_rows(asking, template.as_deref(), value)
            }
            (SensorQuestion::PartitionSync(sync), SensorReply::Value(value)) => {
                self.of_sync(asking, sync, value).await?
            }
            (SensorQuestion::Files(question), SensorReply::Files(files)) => {
                let (found, cursor, is_partial) =
                    new_files(question, asking.cursor.as_deref(), &files);
                let draft = self.drafted(asking, found);
                Ok(Outcome { draft, cursor: Some(cursor), is_partial, ..Outcome::default() })
            }
            (SensorQuestion::Webhook(_), SensorReply::None) => {
                let waiting = self.deliveries_for(asking).await?;
                let draft = self.drafted(asking, waiting.found);
                let (read, is_partial) = (waiting.read, waiting.is_partial);
                Ok(Outcome { draft, cursor, read, is_partial, ..Outcome::default() })
            }
            (question, SensorReply::None) if question.reads_store() => {
                let news = self.news_for(asking).await?;
                let said = failures(question, &news.found);
                let draft = self.drafted(asking, news.found);
                let (cursor, is_partial) = (Some(news.cursor), news.is_partial);
                Ok(Outcome { draft, cursor, is_partial, said, ..Outcome::default() })
            }
            (question, _) => {
                let message = format!("a {} sensor cannot be asked here", question.kind());
                Err(TickWarning { partition: None, code: ErrorCode::SensorAsk, message })
            }
        })
    }

    /// The requests for what was found. The partition of what was found goes only to what has some.
    fn drafted(&self, asking: &SensorAsking, mut found: Vec<Found>) -> Draft {
        let target = asking.def.request.target.as_ref();
        let divided = target.and_then(|target| division(&asking.manifest, target).ok().flatten());
        if divided.is_none() {
            for thing in &mut found {
                thing.partition = None;
            }
        }
        draft(&asking.def, &found, &self.base_names(asking))
    }

    /// What templates of a sensor see whatever was found.
    pub(crate) fn base_names(&self, asking: &SensorAsking) -> Map<String, Value> {
        let tenant = asking.manifest.tenants.get(&asking.tenant);
        let mut names = match self.names(&asking.tenant, tenant) {
            Value::Object(names) => names,
            _ => Map::new(),
        };
        names.insert("sensor".to_owned(), asking.def.name.to_string().into());
        names
    }

    fn of_rows(
        &self,
        asking: &SensorAsking,
        template: Option<&str>,
        value: Value,
    ) -> Result<Outcome, TickWarning> {
        let found = rows(value);
        if found.len() > millstream_model::REQUESTS_MAX {
            return Err(wrong(format!(
                "the answer has {} rows, more than {} of one tick; ask for fewer, with the cursor",
                found.len(),
                millstream_model::REQUESTS_MAX
            )));
        }
        let before = asking.cursor.as_deref();
        let (cursor, note) = match template {
            Some(it) => cursor_of_rows(it, (&found, before), &self.base_names(asking))?,
            None => (asking.cursor.clone(), None),
        };
        Ok(Outcome { draft: self.drafted(asking, found), cursor, note, ..Outcome::default() })
    }

    async fn of_sync(
        &self,
        asking: &SensorAsking,
        def: &PartitionSync,
        value: Value,
    ) -> Result<Result<Outcome, TickWarning>, StoreError> {
        let named = match keys_of_rows(def, value, &self.base_names(asking)) {
            Ok(named) => named,
            Err(error) => return Ok(Err(error)),
        };
        let wanted = match own_keys(asking, &def.partitions, named.keys) {
            Ok(keys) => NamedKeys { keys, keyless: named.keyless },
            Err(error) => return Ok(Err(error)),
        };
        let present = self
            .store
            .dynamic_partitions(&asking.tenant, &def.partitions, ("", ""), KEYS_MAX)
            .await?;
        let (present, of_file) =
            (present.into_iter().collect(), keys_of_file(asking, &def.partitions));
        let plan = match sync(def, &wanted, &present, &of_file) {
            Ok(plan) => plan,
            Err(error) => return Ok(Err(error)),
        };
        let (added, deleted) = (plan.add.len(), plan.remove.len());
        let said = format!(
            "Synced dynamic partitions: {} added={added} deleted={deleted} total={}",
            def.partitions, plan.total
        );
        let change = PartitionsChange { add: plan.add, remove: plan.remove };
        let partitions = BTreeMap::from([(def.partitions.clone(), change)]);
        // The keys that are there and those that are wanted were compared.
        let is_change = added + deleted > 0;
        let real = if is_change { partitions.clone() } else { BTreeMap::new() };
        Ok(Ok(Outcome {
            partitions,
            real,
            skipped: Some(SkipReason::Synced {
                added: count(added),
                deleted: count(deleted),
                total: count(plan.total),
            }),
            is_partial: plan.is_partial,
            note: plan.told,
            said: vec![said],
            ..Outcome::default()
        }))
    }

    /// What a sensor's own answer comes to.
    async fn of_own(
        &self,
        asking: &SensorAsking,
        value: Value,
    ) -> Result<Result<Outcome, TickWarning>, StoreError> {
        let (answer, draft) = match own(asking, value) {
            Ok(read) => read,
            Err(error) => return Ok(Err(error)),
        };
        let real = self.real_changes(asking, &answer.partitions).await?;
        let synced = self.synced(asking, &real).await?;
        let reason = answer.skip.map(|reason| reason.chars().take(2_000).collect());
        let (skipped, said) = match (reason, synced) {
            // What is done to partitions counts; what is said beside it is in the log.
            (reason, Some(change)) if change.is_change() => {
                (Some(change), reason.into_iter().collect())
            }
            (Some(reason), _) => (Some(SkipReason::Said { reason }), Vec::new()),
            (None, synced) => (synced, Vec::new()),
        };
        let cursor = answer.cursor.or_else(|| asking.cursor.clone());
        let partitions = answer.partitions;
        Ok(Ok(Outcome { draft, partitions, real, cursor, skipped, said, ..Outcome::default() }))
    }

    /// How many keys the changes `real` add and remove, and how many there are afterwards; nothing
    /// where there are none.
    async fn synced(
        &self,
        asking: &SensorAsking,
        real: &BTreeMap<PartitionsName, PartitionsChange>,
    ) -> Result<Option<SkipReason>, StoreError> {
        let (mut added, mut deleted, mut total) = (0, 0, 0);
        let tenant = &asking.tenant;
        for (name, change) in real {
            let (new, gone) = (count(change.add.len()), count(change.remove.len()));
            let of_file: Vec<PartitionKey> = keys_of_file(asking, name).into_iter().collect();
            let both = self.store.dynamic_partitions_known(tenant, name, &of_file).await?;
            let stored = self.store.count_dynamic_partitions(tenant, name).await?;
            let before = stored + count(of_file.len() - both.len());
            added += new;
            deleted += gone;
            total += (before + new).saturating_sub(gone);
        }
        Ok((!real.is_empty()).then_some(SkipReason::Synced { added, deleted, total }))
    }

    /// Of each of `changes` that names a key, the keys that were not there and will be, and those
    /// that were and will not. Keys of the file are there before and after.
    async fn real_changes(
        &self,
        asking: &SensorAsking,
        changes: &BTreeMap<PartitionsName, PartitionsChange>,
    ) -> Result<BTreeMap<PartitionsName, PartitionsChange>, StoreError> {
        let mut real = BTreeMap::new();
        let named = |change: &PartitionsChange| !change.add.is_empty() || !change.remove.is_empty();
        for (name, change) in changes.iter().filter(|(_, change)| named(change)) {
            let add: BTreeSet<&PartitionKey> = change.add.iter().collect();
            let remove: BTreeSet<&PartitionKey> = change.remove.iter().collect();
            let keys: Vec<PartitionKey> = add.union(&remove).map(|key| (*key).clone()).collect();
            let known = self.store.dynamic_partitions_known(&asking.tenant, name, &keys).await?;
            let known: BTreeSet<&PartitionKey> = known.iter().collect();
            let of_file = keys_of_file(asking, name);
            let may_change = |key: &&&PartitionKey| !of_file.contains(**key);
            // A key that is added and removed by one answer is gone after it.
            let new =
                add.difference(&remove).filter(|key| !known.contains(*key)).filter(may_change);
            let add = new.map(|key| (*key).clone()).collect();
            let gone = remove.intersection(&known).filter(may_change);
            let remove = gone.map(|key| (*key).clone()).collect();
            real.insert(name.clone(), PartitionsChange { add, remove });
        }
        Ok(real)
    }
}

/// A sensor's own answer, and the requests in it; keys of partitions have their form.
fn own(asking: &SensorAsking, value: Value) -> Result<(SensorAnswer, Draft), TickWarning> {
    let answer = read_answer(value).map_err(wrong)?;
    let draft = of_answer(&asking.def, &answer, asking.nominal)?;
    for (name, change) in &answer.partitions {
        let keys = change.add.iter().chain(&change.remove).cloned().collect::<BTreeSet<_>>();
        let total = keys.len();
        if own_keys(asking, name, keys)?.len() < total {
            let message = format!("the answer changes keys of `{name}` that are another tenant's");
            return Err(wrong(message));
        }
    }
    Ok((answer, draft))
}

/// Those of `keys` that are the tenant's own, all of the form of their definition.
fn own_keys(
    asking: &SensorAsking,
    name: &PartitionsName,
    keys: BTreeSet<PartitionKey>,
) -> Result<BTreeSet<PartitionKey>, TickWarning> {
    let Some(def @ PartitionsDef::Dynamic(_)) = asking.manifest.partitions.get(name) else {
        return Err(wrong(format!("there are no dynamic partitions called `{name}`")));
    };
    let mut own = BTreeSet::new();
    for key in keys {
        def.parse_key(&key).map_err(|error| TickWarning {
            partition: None,
            code: ErrorCode::PartitionKey,
            message: error.to_string(),
        })?;
        // A key of a tenant that is not declared or switched off is nobody's.
        let Ok(owner) = tenant_of(&asking.manifest, name, &key) else { continue };
        if owner.is_none_or(|owner| owner == asking.tenant) {
            own.insert(key);
        }
    }
    Ok(own)
}

/// The tenant's keys that stand in the file.
fn keys_of_file(asking: &SensorAsking, name: &PartitionsName) -> BTreeSet<PartitionKey> {
    let declared = asking.manifest.partitions.get(name).map(PartitionsDef::declared_keys);
    let own = |key: &&PartitionKey| is_key_of(&asking.manifest, (&asking.tenant, name), key);
    declared.unwrap_or_default().iter().filter(own).cloned().collect()
}

/// A line for each failed run that a sensor has seen.
fn failures(question: &SensorQuestion, found: &[Found]) -> Vec<String> {
    if !matches!(question, SensorQuestion::RunStatus { .. }) {
        return Vec::new();
    }
    let line = |thing: &Found| {
        let run = thing.names.get("run")?;
        let text = |key: &str| run.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
        (text("status") == "FAILURE").then(|| {
            let job = if run.get("job").is_some_and(Value::is_string) { "job" } else { "title" };
            format!("RUN FAILED job={} run_id={}", text(job), text("id"))
        })
    };
    found.iter().filter_map(line).collect()
}

fn wrong(message: String) -> TickWarning {
    TickWarning { partition: None, code: ErrorCode::SensorAnswer, message }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
