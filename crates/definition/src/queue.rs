//! What limits how much runs at once: the `queue` and `pools` sections, and the pool of a step.

use std::collections::BTreeMap;

use millstream_model::{
    ErrorCode, HumanDuration, LimitScope, PRIORITY_MAX, PRIORITY_TAG, PoolDef, PoolName, PoolUse,
    QueueDef, RETRIES_TAG, RateLimit, TagLimit, TagValues, priority_of, retries_of,
};

use crate::fields::{Field, Fields, parsed};
use crate::finding::Findings;
use crate::keys::queue::{COUNT_MAX, EACH_VALUE, POOL, POOL_USE, QUEUE, RATE_LIMIT, TAG_LIMIT};
use crate::reader::Reader;
use crate::timing;
use crate::tree::Value;

const SCOPES: &[(&str, LimitScope)] =
    &[("tenant", LimitScope::Tenant), ("instance", LimitScope::Instance)];

/// Limits in one list: each is looked at for each run that waits.
const LIMITS_MAX: usize = 100;

/// The longest time that a rate limit is about: what has started is remembered for so long.
const PER_MAX: HumanDuration = HumanDuration::from_secs(7 * 86_400);

/// Reads a `pools` section.
pub(crate) fn pools(field: &Field<'_>, reader: &mut Reader) {
    let findings = &mut reader.findings;
    let Some(entries) = Fields::any(field.node, "section `pools`", findings) else { return };
    for entry in entries.iter() {
        let findings = &mut reader.findings;
        let name: Option<PoolName> = parsed(entry.name, entry.name_spot, findings);
        if let (Some(name), Some(pool)) = (name, pool(&entry, findings)) {
            reader.places.note(&["pool", entry.name], entry.name_spot);
            reader.manifest.pools.insert(name, pool);
        }
    }
}

/// `4`, or an object with `slots` and `scope`.
fn pool(entry: &Field<'_>, findings: &mut Findings) -> Option<PoolDef> {
    if let Value::Number(_) = entry.node.value {
        let slots = entry.whole(0, COUNT_MAX, findings)?;
        return Some(PoolDef { slots, scope: LimitScope::Tenant });
    }
    let what = format!("pool `{}`", entry.name);
    let fields = Fields::open(entry.node, &what, POOL.keys, findings)?;
    let slots = fields.need("slots", "write how many steps may hold one at once", findings)?;
    Some(PoolDef { slots: slots.whole(0, COUNT_MAX, findings)?, scope: scope(&fields, findings) })
}

fn scope(fields: &Fields<'_>, findings: &mut Findings) -> LimitScope {
    fields.get("scope").and_then(|it| it.choice(SCOPES, findings)).unwrap_or_default()
}

/// The slots that a step needs: a pool's name, or an object with `name` and `slots`.
pub(crate) fn pool_use(field: &Field<'_>, findings: &mut Findings) -> Option<PoolUse> {
    if field.node.plain().is_some() {
        return Some(PoolUse { name: field.parsed(findings)?, slots: 1 });
    }
    let fields = Fields::open(field.node, "`pool` of a step", POOL_USE.keys, findings)?;
    let name = fields.need("name", "write the name of a pool", findings)?;
    let slots = fields.get("slots").map_or(Some(1), |it| it.whole(1, COUNT_MAX, findings));
    Some(PoolUse { name: name.parsed(findings)?, slots: slots? })
}

/// Reports a label of runs that is to be a priority, or a number of retries, and is none.
pub(crate) fn check_tag(
    field: &Field<'_>,
    tags: &BTreeMap<String, String>,
    findings: &mut Findings,
) {
    if let Err(text) = priority_of(tags) {
        let message = format!("`{PRIORITY_TAG}` cannot be `{text}`");
        findings
            .error(ErrorCode::DefinitionValue, field.node.spot, message)
            .help("write a whole number: higher goes first, 0 is usual");
    }
    if let Err(text) = retries_of(tags) {
        let message = format!("`{RETRIES_TAG}` cannot be `{text}`");
        findings
            .error(ErrorCode::DefinitionValue, field.node.spot, message)
            .help("write how often a failed run is tried again, a whole number up to 1000");
    }
}

/// The priority of a job's runs, from `priority` or Dagster's tag.
pub(crate) fn priority(fields: &Fields<'_>, findings: &mut Findings) -> Option<i64> {
    if let Some(field) = fields.get("tags") {
        // What is no map of texts was reported where the tags were read.
        check_tag(&field, &field.text_map(&mut Findings::new("")), findings);
    }
    let field = fields.get("priority")?;
    let number = match &field.node.value {
        Value::Number(number) => number.value.as_i64(),
        _ => None,
    };
    let fitting = number.filter(|number| number.abs() <= PRIORITY_MAX);
    if fitting.is_none() {
        field.mistyped("a whole number, where higher goes first and 0 is usual", findings);
    }
    fitting
}

/// Reads a `queue` section.
pub(crate) fn section(field: &Field<'_>, reader: &mut Reader) {
    let findings = &mut reader.findings;
    let Some(fields) = Fields::open_or_empty(field.node, "section `queue`", QUEUE.keys, findings)
    else {
        return;
    };
    let max = fields.get("max_concurrent_runs");
    let most = max.as_ref().and_then(|it| it.whole(0, COUNT_MAX, findings));
    if let (Some(field), Some(0)) = (max, most) {
        let message = "`max_concurrent_runs` is 0: no run ever starts";
        findings.warning(ErrorCode::DefinitionValue, field.node.spot, message).help(
            "write at least 1; `millstream job stop NAME` keeps one job from being requested",
        );
    }
    reader.manifest.queue = QueueDef {
        max_concurrent_runs: most,
        tag_limits: limits(&fields, "tag_limits", tag_limit, findings),
        rate_limits: limits(&fields, "rate_limits", rate_limit, findings),
    };
}

fn limits<T>(
    fields: &Fields<'_>,
    name: &str,
    read: impl Fn(&Field<'_>, &mut Findings) -> Option<T>,
    findings: &mut Findings,
) -> Vec<T> {
    let Some(field) = fields.get(name) else { return Vec::new() };
    let items = field.list(findings).unwrap_or_default();
    if items.len() > LIMITS_MAX {
        let message = format!("`{name}` has {} limits; at most {LIMITS_MAX} count", items.len());
        findings
            .error(ErrorCode::DefinitionTooLarge, field.node.spot, message)
            .help("a limit with `limit_per_value` counts each value of a key apart");
    }
    items.iter().filter_map(|node| read(&Field { node, ..field }, findings)).collect()
}

/// Ours, `{ key, limit }`, `{ key, value, limit }` and `{ key, limit_per_value }`, or Dagster's
/// `{ key, value: { applyLimitPerUniqueValue: true }, limit }`.
fn tag_limit(item: &Field<'_>, findings: &mut Findings) -> Option<TagLimit> {
    let fields = Fields::open(item.node, "tag limit", TAG_LIMIT.keys, findings)?;
    let key = fields.need("key", "write the tag's key", findings)?.filled(findings);
    let scope = scope(&fields, findings);
    let values = values(&fields, findings);
    let per_value = fields.get("limit_per_value");
    if let (Some(per_value), Some(_)) = (&per_value, fields.get("limit").or(fields.get("value"))) {
        findings
            .error(
                ErrorCode::DefinitionValue,
                per_value.name_spot,
                "`limit_per_value` stands for `limit` and `value`",
            )
            .help("keep `limit_per_value` to count each value apart, or the other two");
        return None;
    }
    let help = "write `limit`, or `limit_per_value` to count each value of the tag apart";
    let limit = match &per_value {
        Some(per_value) => per_value.whole(0, COUNT_MAX, findings)?,
        None => fields.need("limit", help, findings)?.whole(0, COUNT_MAX, findings)?,
    };
    let values = if per_value.is_some() { TagValues::Each } else { values? };
    Some(TagLimit { key: key?, values, limit, scope })
}

fn values(fields: &Fields<'_>, findings: &mut Findings) -> Option<TagValues> {
    let Some(field) = fields.get("value") else { return Some(TagValues::All) };
    let Value::Map(_) = field.node.value else {
        return field.text(findings).map(TagValues::One);
    };
    let inner = Fields::open(field.node, "`value` of a tag limit", EACH_VALUE.keys, findings)?;
    let each = inner.get("applyLimitPerUniqueValue").and_then(|it| it.flag(findings));
    Some(if each == Some(true) { TagValues::Each } else { TagValues::All })
}

fn rate_limit(item: &Field<'_>, findings: &mut Findings) -> Option<RateLimit> {
    let fields = Fields::open(item.node, "rate limit", RATE_LIMIT.keys, findings)?;
    let key = fields.get("key").and_then(|it| it.filled(findings));
    let value = fields.get("value").and_then(|it| it.text(findings));
    if let (Some(value), None) = (fields.get("value"), &key) {
        findings
            .error(ErrorCode::DefinitionValue, value.name_spot, "`value` stands without its `key`")
            .help("write the tag's key too, or leave both out for all runs");
    }
    let help = "write how many runs may start within `per`";
    let limit = fields.need("limit", help, findings)?.whole(1, COUNT_MAX, findings);
    let field = fields.need("per", "write the time, like `1m`", findings)?;
    let per = timing::duration(&field, findings)?;
    if per.0.is_zero() || per > PER_MAX {
        let message = format!("`per` must be longer than 0 and at most {PER_MAX}");
        findings.error(ErrorCode::DefinitionValue, field.node.spot, message);
    }
    Some(RateLimit { key, value, limit: limit?, per, scope: scope(&fields, findings) })
}
