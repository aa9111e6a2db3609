//! What two manifests declare differently, thing by thing and field by field.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{
    CalendarName, DaySpan, HandlerDef, JobDef, Manifest, QueueDef, RateLimit, ScheduleDef,
    ScheduleTarget, TagLimit, TagValues,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::diff::{Change, ChangeKind, FIELDS_MAX, FieldChange};
use super::renamed::{renamed_schedules, renamed_sensors};

/// The things of one kind, by name.
type Things = BTreeMap<String, Value>;

/// The names that things had before, by the ones that they have.
type Names = BTreeMap<String, String>;

/// Everything that differs.
pub(super) fn changed(old: &Manifest, new: &Manifest) -> Vec<Change> {
    let mut found = Vec::new();
    for ((kind, mut before), (_, mut after)) in sections(old).into_iter().zip(sections(new)) {
        let names = match kind {
            "schedules" => {
                let names = names(renamed_schedules(old, new));
                // One that a job declared for itself is no thing of this section.
                let alone = names.iter().filter(|(name, _)| after.contains_key(*name));
                for (_, name) in alone {
                    if let Some(schedule) = old.schedules.get(name.as_str()) {
                        before.insert(name.clone(), Value::Object(as_written(schedule)));
                    }
                }
                names
            }
            "sensors" => names(renamed_sensors(old, new)),
            _ => Names::new(),
        };
        let names = rename(names, &mut before, &mut after);
        section((kind, &names), &before, &after, &mut found);
    }
    found
}

fn names<K: ToString>(names: BTreeMap<&K, &K>) -> Names {
    names.into_iter().map(|(name, before)| (name.to_string(), before.to_string())).collect()
}

/// Gives what was renamed its new name on both sides, so that only what else is different differs.
/// Returns the names that count: those that both sides have.
fn rename(mut names: Names, old: &mut Things, new: &mut Things) -> Names {
    names.retain(|name, before| new.contains_key(name) && old.contains_key(before));
    for (name, before) in &names {
        if let Some(thing) = old.remove(before) {
            old.insert(name.clone(), thing);
        }
        for side in [&mut *old, &mut *new] {
            if let Some(Value::Object(keys)) = side.get_mut(name) {
                keys.remove("name");
                keys.remove("renamed_from");
            }
        }
    }
    names
}

/// The sections of a manifest in the order in which they are shown.
fn sections(manifest: &Manifest) -> Vec<(&'static str, Things)> {
    // All fields by name, so that a new section does not compile until it is compared.
    let Manifest {
        location: _,
        files: _,
        tenants,
        resources,
        io,
        handlers,
        pools,
        queue,
        partitions,
        assets,
        jobs: _,
        calendars,
        schedules: _,
        sensors,
    } = manifest;
    vec![
        ("tenants", named(tenants)),
        ("resources", named(resources)),
        ("io", named(io)),
        ("handlers", by_pattern(handlers)),
        ("pools", named(pools)),
        ("queue", limits(queue)),
        ("partitions", named(partitions)),
        ("assets", named(assets)),
        ("jobs", jobs(manifest)),
        ("calendars", days(calendars)),
        ("schedules", schedules(manifest)),
        ("sensors", named(sensors)),
    ]
}

/// The job that declares `schedule` for itself, if one does.
pub fn job_of<'m>(manifest: &'m Manifest, schedule: &ScheduleDef) -> Option<&'m JobDef> {
    let ScheduleTarget::Job(job) = &schedule.target else { return None };
    let is_own = job.as_str() == schedule.name.as_str();
    manifest.jobs.get(job).filter(|job| is_own && job.schedule.is_some())
}

fn named<K: ToString, V: Serialize>(things: &BTreeMap<K, V>) -> Things {
    things.iter().map(|(name, thing)| (name.to_string(), value_of(thing))).collect()
}

fn value_of(thing: &impl Serialize) -> Value {
    // A definition came from JSON, so that it always has a JSON form.
    serde_json::to_value(thing).unwrap_or_default()
}

/// The handlers by pattern; of two rows with one pattern only the first is ever used.
fn by_pattern(rows: &[HandlerDef]) -> Things {
    let mut things = Things::new();
    for row in rows {
        things.entry(row.pattern.clone()).or_insert_with(|| value_of(&row.target));
    }
    things
}

/// What limits the queue, as one thing: each limit under what it counts.
fn limits(queue: &QueueDef) -> Things {
    if queue.is_empty() {
        return Things::new();
    }
    let QueueDef { max_concurrent_runs, tag_limits, rate_limits } = queue;
    let tag = |limit: &TagLimit| match &limit.values {
        TagValues::All => limit.key.clone(),
        TagValues::Each => format!("each {}", limit.key),
        TagValues::One(value) => format!("{}={value}", limit.key),
    };
    let rate = |limit: &RateLimit| match (&limit.key, &limit.value) {
        (Some(key), Some(value)) => format!("{key}={value}"),
        (Some(key), None) => key.clone(),
        (None, _) => "all runs".to_owned(),
    };
    let value = json!({
        "max_concurrent_runs": max_concurrent_runs,
        "tag_limits": numbered(tag_limits, tag),
        "rate_limits": numbered(rate_limits, rate),
    });
    Things::from([("limits".to_owned(), value)])
}

/// The items by name; the second of a name has its number behind it.
fn numbered<T: Serialize>(items: &[T], name: impl Fn(&T) -> String) -> Map<String, Value> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = Map::new();
    for item in items {
        let name = name(item);
        let count = counts.entry(name.clone()).or_default();
        *count += 1;
        let name = if *count == 1 { name } else { format!("{name} ({count})") };
        found.insert(name, value_of(item));
    }
    found
}

/// The calendars with their days as they are written.
fn days(calendars: &BTreeMap<CalendarName, Vec<DaySpan>>) -> Things {
    let days = |spans: &[DaySpan]| spans.iter().map(ToString::to_string).collect::<Vec<_>>();
    calendars.iter().map(|(name, it)| (name.to_string(), json!({ "days": days(it) }))).collect()
}

/// The jobs, each under the keys of its file, with what the schedule that it declares for itself
/// says beside the expression.
fn jobs(manifest: &Manifest) -> Things {
    let mut things = named(&manifest.jobs);
    for thing in things.values_mut().filter_map(Value::as_object_mut) {
        let Some(Value::Object(shape)) = thing.remove("shape") else { continue };
        let written = |key: String| if key == "ops" { "nodes".to_owned() } else { key };
        thing.extend(shape.into_iter().map(|(key, value)| (written(key), value)));
    }
    for schedule in manifest.schedules.values() {
        let Some(job) = job_of(manifest, schedule) else { continue };
        let Some(Value::Object(thing)) = things.get_mut(job.name.as_str()) else { continue };
        let (name, cron) = (schedule.name.clone(), job.schedule.clone().unwrap_or_default());
        let plain = as_written(&ScheduleDef::of_job(&job.name, name, cron));
        for (key, value) in as_written(schedule) {
            if plain.get(&key) != Some(&value) {
                thing.insert(format!("schedule.{key}"), value);
            }
        }
    }
    things
}

/// The schedules that stand by themselves.
fn schedules(manifest: &Manifest) -> Things {
    let alone = manifest.schedules.values().filter(|it| job_of(manifest, it).is_none());
    alone.map(|it| (it.name.to_string(), Value::Object(as_written(it)))).collect()
}

/// A schedule under the keys of its file: the kinds of its target, expression and switch have none.
fn as_written(schedule: &ScheduleDef) -> Map<String, Value> {
    let Value::Object(mut keys) = value_of(schedule) else { return Map::new() };
    if let Some(Value::Object(target)) = keys.remove("target") {
        keys.extend(target);
    }
    for key in ["cron", "enabled"] {
        let inner = keys.get(key).and_then(Value::as_object).and_then(|it| it.values().next());
        if let Some(inner) = inner.cloned() {
            keys.insert(key.to_owned(), inner);
        }
    }
    keys
}

fn section((kind, renamed): (&str, &Names), old: &Things, new: &Things, found: &mut Vec<Change>) {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let renamed_from = renamed.get(name).cloned();
        let (change, fields) = match (old.get(name), new.get(name)) {
            (None, new) => (ChangeKind::Added, taken_over(new)),
            (_, None) => (ChangeKind::Removed, Vec::new()),
            (Some(old), Some(new)) if old == new && renamed_from.is_none() => continue,
            (Some(old), Some(new)) => {
                let mut fields = Vec::new();
                compare(String::new(), old, new, &mut fields);
                (ChangeKind::Changed, fields)
            }
        };
        let (kind, name) = (kind.to_owned(), name.clone());
        found.push(Change { kind, name, renamed_from, change, fields });
    }
}

/// The one field that is shown of a job that is new: whose history its schedule takes over.
fn taken_over(job: Option<&Value>) -> Vec<FieldChange> {
    let field = "schedule.renamed_from";
    let after = job.and_then(|job| job.get(field)).cloned();
    let shown = |after| FieldChange::of(field.to_owned(), Value::Null, after);
    after.map(shown).into_iter().collect()
}

/// Adds each field below `path` that differs. Recursion is as deep as a definition file may be.
fn compare(path: String, old: &Value, new: &Value, fields: &mut Vec<FieldChange>) {
    if old == new || fields.len() >= FIELDS_MAX {
        return;
    }
    let below =
        |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                let side = |map: &Map<String, Value>| map.get(name).cloned().unwrap_or(Value::Null);
                compare(below(name), &side(old), &side(new), fields);
            }
        }
        (Value::Array(before), Value::Array(after))
            if let (Some(before), Some(after)) = (by_id(before), by_id(after)) =>
        {
            let shown = fields.len();
            let ids: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
            for id in ids {
                let side = |items: &BTreeMap<&str, &Value>| items.get(id).copied().cloned();
                let (before, after) = (side(&before), side(&after));
                compare(below(id), &before.unwrap_or_default(), &after.unwrap_or_default(), fields);
            }
            if fields.len() == shown {
                // Only their order is another.
                fields.push(FieldChange::of(path, old.clone(), new.clone()));
            }
        }
        _ => fields.push(FieldChange::of(path, old.clone(), new.clone())),
    }
}

/// The items of a list by their ids, where each has one of its own: a job's ops.
fn by_id(items: &[Value]) -> Option<BTreeMap<&str, &Value>> {
    let mut found = BTreeMap::new();
    for item in items {
        let id = item.get("id").and_then(Value::as_str)?;
        if found.insert(id, item).is_some() {
            return None;
        }
    }
    Some(found)
}
