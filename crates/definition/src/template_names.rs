//! The names in templates of steps of which only the files together say whether they exist.
//!
//! Called by [`crate::references`] for each step. A tenant may have labels of its own, partitions
//! are declared by name, and an asset's step sees the results of the assets that it depends on.

use std::collections::BTreeSet;

use millstream_model::{
    AssetDef, ErrorCode, PartitionsDef, Severity, StepConfig, TenantDef, nearest,
};

use crate::reporter::Reporter;
use crate::template::{meant_field, needed_in};
use crate::template_tree::Path;

/// The fields that a tenant of these may have.
pub(crate) fn fields_of<'a>(tenants: impl Iterator<Item = &'a TenantDef>) -> BTreeSet<&'a str> {
    let labels = tenants.flat_map(|tenant| tenant.labels.keys());
    TenantDef::FIELDS.iter().copied().chain(labels.map(String::as_str)).collect()
}

/// What the templates of `step` cannot do without. A handler has its config as it is written.
pub(crate) fn named_in(step: &StepConfig) -> BTreeSet<Path> {
    fn collect(json: &serde_json::Value, names: &mut BTreeSet<Path>) {
        match json {
            serde_json::Value::String(text) => names.extend(needed_in(text)),
            serde_json::Value::Array(items) => items.iter().for_each(|it| collect(it, names)),
            serde_json::Value::Object(entries) => {
                entries.values().for_each(|value| collect(value, names));
            }
            _ => {}
        }
    }
    let mut names = BTreeSet::new();
    if let (false, Ok(json)) = (matches!(step, StepConfig::Local(_)), serde_json::to_value(step)) {
        collect(&json, &mut names);
    }
    names
}

impl Reporter<'_, '_> {
    /// Reports the fields among `names` that no tenant has; `path` leads to where they stand.
    pub(crate) fn tenant_fields(
        &mut self,
        names: &BTreeSet<Path>,
        known: &BTreeSet<&str>,
        path: &[&str],
    ) {
        if self.doubts.any("tenant") {
            return;
        }
        for field in fields(names, "tenant").filter(|field| !known.contains(field)) {
            let message = format!("The template names `tenant.{field}`, which no tenant has");
            let help = nearest(field, known.iter().copied()).map_or_else(
                || {
                    format!(
                        "declare it among the `labels` of the tenants: `labels: {{{field}: …}}`"
                    )
                },
                |near| format!("did you mean `tenant.{near}`?"),
            );
            self.wrong_template(&[path, &["tenant", field]].concat(), message, help);
        }
    }

    /// Reports the fields of its partition among `names` that no key of the asset has; `def` is how
    /// it is divided.
    pub(crate) fn partition_fields(
        &mut self,
        names: &BTreeSet<Path>,
        asset: &AssetDef,
        def: Option<&PartitionsDef>,
    ) {
        let key = asset.key.to_string();
        let mut known = def.map(PartitionsDef::part_names).unwrap_or_default();
        known.extend(def.map(|_| "key".to_owned()));
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        for field in fields(names, "partition").filter(|field| !known.contains(field)) {
            let path = ["asset", &key, "step", "partition", field];
            let (message, help) = match def {
                Some(_) => (
                    format!(
                        "The template names `partition.{field}`, which the partitions of asset \
                         `{key}` do not have"
                    ),
                    meant_field("partition", field, known.iter().copied()),
                ),
                None => (
                    format!(
                        "The template names `partition.{field}`, and asset `{key}` has no \
                         partitions"
                    ),
                    NO_PARTITIONS.to_owned(),
                ),
            };
            self.wrong_template(&path, message, help);
        }
        if def.is_none() && names.contains(&("partition".to_owned(), None)) {
            let message = format!(
                "The template names `partition`, and asset `{key}` has no partitions: it is there \
                 only if a run is given it"
            );
            let kind = (ErrorCode::DefinitionTemplate, Severity::Warning);
            let path = ["asset", &key, "step", "partition"];
            self.tell(kind, &path, message, NO_PARTITIONS.to_owned());
        }
    }

    /// Reports results among `names` that the step of `asset` reads of what it does not depend on.
    pub(crate) fn upstream_fields(&mut self, names: &BTreeSet<Path>, asset: &AssetDef) {
        let key = asset.key.to_string();
        let deps: Vec<String> = asset.deps.iter().map(ToString::to_string).collect();
        for name in fields(names, "upstream").filter(|name| deps.iter().all(|dep| dep != name)) {
            let message =
                format!("Asset `{key}` reads `upstream.{name}`, which it does not depend on");
            let help = match nearest(name, deps.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `upstream.{near}`?"),
                None => format!("have the asset `{name}` among its `deps`"),
            };
            self.error(&["asset", &key, "step", "upstream", name], message, help);
        }
    }

    fn wrong_template(&mut self, path: &[&str], message: String, help: String) {
        self.tell((ErrorCode::DefinitionTemplate, Severity::Error), path, message, help);
    }
}

/// What an author of an asset without partitions can do.
const NO_PARTITIONS: &str = "give the asset `partitions`; what a run is started with is \
                             `trigger.partition`";

/// The fields of `name` among `names`.
fn fields<'n>(names: &'n BTreeSet<Path>, name: &'n str) -> impl Iterator<Item = &'n str> {
    names.iter().filter(move |(of, _)| of == name).filter_map(|(_, field)| field.as_deref())
}
