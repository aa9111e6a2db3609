//! The names in templates of steps of which only the files together say whether they exist.
//!
//! Called by [`crate::references`] for each step. A tenant may have labels of its own, partitions
//! are declared by name, and an asset's step sees the results of the assets that it depends on.

use std::collections::BTreeSet;

use millstream_model::{
    AssetDef, ErrorCode, PartitionsDef, Severity, StepConfig, Switch, TenantDef, nearest,
};
use serde_json::{Value, json};

use crate::reporter::Reporter;
use crate::template::{meant_field, needed_in};
use crate::template_tree::Path;

/// The fields that a tenant of these may have.
pub(crate) fn fields_of<'a>(tenants: impl Iterator<Item = &'a TenantDef>) -> BTreeSet<&'a str> {
    let labels = tenants.flat_map(|tenant| tenant.labels.keys());
    TenantDef::FIELDS.iter().copied().chain(labels.map(String::as_str)).collect()
}

/// What the templates of `step` cannot do without.
pub(crate) fn named_in(step: &StepConfig) -> BTreeSet<Path> {
    named_in_all(json!(step))
}

/// What the templates in all texts of `definition`, but for its description, cannot do without.
fn named_in_all(mut definition: Value) -> BTreeSet<Path> {
    fn collect(json: &Value, names: &mut BTreeSet<Path>) {
        match json {
            Value::String(text) => names.extend(needed_in(text)),
            Value::Array(items) => items.iter().for_each(|it| collect(it, names)),
            Value::Object(entries) => {
                entries.values().for_each(|value| collect(value, names));
            }
            _ => {}
        }
    }
    let mut names = BTreeSet::new();
    if let Some(fields) = definition.as_object_mut() {
        fields.remove("description");
    }
    collect(&definition, &mut names);
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

    /// Reports the fields that no tenant has in templates beside those of steps: of sensors,
    /// conditions of schedules, resources and IO managers.
    pub(crate) fn tenant_fields_beside_steps(&mut self, known: &BTreeSet<&str>) {
        let manifest = self.file.manifest;
        for sensor in &manifest.sensors {
            let path = ["sensor", sensor.name.as_str(), "query"];
            self.tenant_fields(&named_in_all(json!(sensor)), known, &path);
        }
        for schedule in &manifest.schedules {
            let mut names = schedule.when.as_deref().map(needed_in).unwrap_or_default();
            if let Switch::Template(text) = &schedule.enabled {
                names.extend(needed_in(text));
            }
            self.tenant_fields(&names, known, &["schedule", schedule.name.as_str()]);
        }
        for (name, resource) in &manifest.resources {
            self.tenant_fields(&named_in_all(json!(resource)), known, &["resource", name.as_str()]);
        }
        for (name, io) in &manifest.io {
            self.tenant_fields(&named_in_all(json!(io)), known, &["io", name.as_str()]);
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
        for (name, field) in names {
            let part = name.strip_prefix("partition.").filter(|part| known.contains(part));
            let (Some(_), Some(field)) = (part, field) else { continue };
            let message = format!(
                "The template names `{name}.{field}`, and `{name}` is a text, which has no fields"
            );
            let help = meant_field("partition", field, known.iter().copied());
            self.wrong_template(&["asset", &key, "step", name, field], message, help);
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
