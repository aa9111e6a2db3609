//! The partition of a request: whether it exists, what its parts are and whose it is.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{
    Manifest, PartitionKey, PartitionsDef, PartitionsName, TenantDef, TenantId, Timestamp,
};

use crate::PlanError;

/// The partition that a caller asks for, with what only its store and its clock can say.
///
/// A definition may have a million dynamic keys, so the caller looks up the few that
/// `PartitionsDef::dynamic_keys` names for this key and passes those that exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionChoice {
    /// The key.
    pub key: PartitionKey,
    /// The time of the request: windows that begin later do not exist yet.
    pub now: Timestamp,
    /// Those of the key's dynamic keys that have been added while the instance ran.
    pub added: BTreeSet<PartitionKey>,
    /// Keys in the store, those that look like it among them, for the message when it does not
    /// exist.
    pub near: Vec<PartitionKey>,
}

impl PartitionChoice {
    /// The choice of `key` at `now` where the store has added nothing.
    pub fn new(key: PartitionKey, now: Timestamp) -> Self {
        Self { key, now, added: BTreeSet::new(), near: Vec::new() }
    }
}

/// The tenant that `key` belongs to; `None` when its definition names no tenant dimension.
///
/// The tenant is declared and enabled: an undeclared one is `Unknown tenant: <id>`.
pub fn tenant_of(
    manifest: &Manifest,
    partitions: &PartitionsName,
    key: &PartitionKey,
) -> Result<Option<TenantId>, PlanError> {
    let named = named_tenant(manifest, partitions, key)?;
    if let Some(tenant) = &named {
        enabled_tenant(manifest, tenant)?;
    }
    Ok(named)
}

/// The tenant that `key` names, also one that is disabled or not declared; `None` when its
/// definition names no tenant dimension.
pub fn named_tenant(
    manifest: &Manifest,
    partitions: &PartitionsName,
    key: &PartitionKey,
) -> Result<Option<TenantId>, PlanError> {
    let Some(def) = manifest.partitions.get(partitions) else { return Ok(None) };
    let Some(dimension) = def.tenant_dimension() else { return Ok(None) };
    let parts = parts_of((partitions, def), key, Timestamp::from_micros(0))?;
    let Some(text) = parts.get(dimension.as_str()) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| PlanError::TenantUnknown { tenant: text.clone() })
}

/// Whether `key` is a key of `tenant`: it names the tenant, or its definition names none.
pub fn is_key_of(
    manifest: &Manifest,
    (tenant, partitions): (&TenantId, &PartitionsName),
    key: &PartitionKey,
) -> bool {
    let named = named_tenant(manifest, partitions, key);
    named.is_ok_and(|named| named.is_none_or(|named| named == *tenant))
}

/// Those of `keys` that are no keys of a tenant's at `now`, where `added` holds those of their
/// dynamic keys that exist.
pub fn gone_keys(
    manifest: &Manifest,
    (tenant, name): (&TenantId, &PartitionsName),
    mut keys: Vec<PartitionKey>,
    (now, added): (Timestamp, &BTreeSet<PartitionKey>),
) -> Vec<PartitionKey> {
    let Some(def) = manifest.partitions.get(name) else { return keys };
    // Once for all keys: to read the definition anew for each would take the square of its length.
    let written: BTreeSet<&PartitionKey> = def.declared_keys().iter().collect();
    let windows = match def {
        PartitionsDef::TimeWindow(windows) => windows.windows().ok(),
        _ => None,
    };
    let exists = |key: &PartitionKey| match def {
        PartitionsDef::Static { .. } => written.contains(key),
        PartitionsDef::Dynamic(_) => written.contains(key) || added.contains(key),
        PartitionsDef::TimeWindow(_) => windows.as_ref().is_some_and(|it| it.contains(key, now)),
        PartitionsDef::Multi { .. } => def.contains(key, now, added),
    };
    keys.retain(|key| !exists(key) || !is_key_of(manifest, (tenant, name), key));
    keys
}

/// The parts of `key` by dimension; the error shows how keys of the definition look at `now`.
pub fn parts_of(
    (name, def): (&PartitionsName, &PartitionsDef),
    key: &PartitionKey,
    now: Timestamp,
) -> Result<BTreeMap<String, String>, PlanError> {
    def.parse_key(key).map_err(|problem| {
        let (partitions, form) = (name.clone(), def.form(now));
        PlanError::PartitionForm { problem, partitions, form }
    })
}

/// What the definitions say of `tenant`, which must be declared and enabled.
pub(crate) fn enabled_tenant<'a>(
    manifest: &'a Manifest,
    tenant: &TenantId,
) -> Result<&'a TenantDef, PlanError> {
    match manifest.tenants.get(tenant) {
        None => Err(PlanError::TenantUnknown { tenant: tenant.to_string() }),
        Some(def) if !def.enabled => Err(PlanError::TenantDisabled { tenant: tenant.clone() }),
        Some(def) => Ok(def),
    }
}

/// The parts of the chosen key by dimension, once it is known to exist and to be the tenant's.
pub(crate) fn check_choice(
    manifest: &Manifest,
    tenant: &TenantId,
    (name, def): (&PartitionsName, &PartitionsDef),
    choice: &PartitionChoice,
) -> Result<BTreeMap<String, String>, PlanError> {
    let dimensions = parts_of((name, def), &choice.key, choice.now)?;
    if let Some(owner) = tenant_of(manifest, name, &choice.key)?
        && owner != *tenant
    {
        let (key, tenant) = (choice.key.clone(), tenant.clone());
        return Err(PlanError::PartitionOfOther { key, owner, tenant });
    }
    if !def.contains(&choice.key, choice.now, &choice.added) {
        let ours = |key: &PartitionKey| is_key_of(manifest, (tenant, name), key);
        let near = def.near(&choice.key, choice.now, (&choice.near, &ours));
        let (key, partitions) = (choice.key.clone(), name.clone());
        let end = def.window_of(&key).map(|window| window.end);
        let ends = end.filter(|end| def.contains(&key, *end, &choice.added));
        return Err(PlanError::PartitionUnknown { key, partitions, near, ends });
    }
    Ok(dimensions)
}

#[cfg(test)]
mod tests {
    use millstream_model::Zone;
    use millstream_model::partitions::{Cadence, DynamicPartitions, TimeWindowPartitions};

    use super::*;

    fn keys(texts: &[&str]) -> Vec<PartitionKey> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn windows(cadence: Cadence, start: &str) -> PartitionsDef {
        let (start, timezone) = (start.to_owned(), "UTC".to_owned());
        let (end, format) = (None, None);
        PartitionsDef::TimeWindow(TimeWindowPartitions { cadence, start, end, timezone, format })
    }

    #[test]
    fn keys_are_gone_that_the_definition_does_not_have_now_whatever_its_kind() {
        let fixed = PartitionsDef::Static { keys: keys(&["a", "x"]) };
        let days = windows(Cadence::Daily, "2026-07-03");
        let hours = windows(Cadence::Hourly, "2026-07-03");
        let dimensions =
            [("day".parse().unwrap(), days.clone()), ("shop".parse().unwrap(), fixed.clone())];
        let both = PartitionsDef::Multi { dimensions: dimensions.into() };
        let tenants = PartitionsDef::Dynamic(DynamicPartitions {
            dimensions: ["tenant", "name"].map(|it| it.parse().unwrap()).to_vec(),
            separator: "::".to_owned(),
            tenant: Some("tenant".parse().unwrap()),
            keys: keys(&["t::written", "u::written"]),
        });
        let cases = [
            (fixed, vec!["a", "b"], vec!["b"]),
            // The first was before the start, and the last has not ended.
            (
                days,
                vec!["2026-07-02", "2026-07-03", "2026-07-05"],
                vec!["2026-07-02", "2026-07-05"],
            ),
            (hours, vec!["2026-07-03", "2026-07-03-01:00"], vec!["2026-07-03"]),
            (
                both,
                vec!["2026-07-03|a", "2026-07-03|b", "2026-07-02|a", "a"],
                vec!["2026-07-03|b", "2026-07-02|a", "a"],
            ),
            (
                tenants,
                vec!["t::written", "t::added", "t::removed", "u::written"],
                vec!["t::removed", "u::written"],
            ),
        ];
        let (tenant, name) = ("t".parse().unwrap(), "by".parse::<PartitionsName>().unwrap());
        let now = Timestamp::at_local("2026-07-05T12:00", &Zone::UTC).unwrap();
        let added = keys(&["t::added"]).into_iter().collect();
        for (def, touched, gone) in cases {
            let mut manifest = Manifest::merge("here".parse().unwrap(), []);
            manifest.partitions.insert(name.clone(), def);
            let found = gone_keys(&manifest, (&tenant, &name), keys(&touched), (now, &added));
            assert_eq!(found, keys(&gone));
        }
    }
}
