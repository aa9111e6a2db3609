//! The `assets` section.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{
    AssetDef, AssetKey, ErrorCode, IoName, MetadataValue, PartitionsName, StepConfig,
};

use crate::fields::{Field, Fields, is_known, parsed};
use crate::finding::Findings;
use crate::jobs;
use crate::keys::assets::ASSET;
use crate::limits;
use crate::partitions;
use crate::queue;
use crate::reader::Reader;
use crate::sight::Sight;
use crate::sql_params;
use crate::steps;
use crate::template;
use crate::timing;
use crate::tree::Value;

/// The most bytes of an asset's metadata.
const METADATA_MAX: usize = 256 << 10;

/// Reads an `assets` section.
pub(crate) fn section(field: &Field<'_>, reader: &mut Reader) {
    let Some(assets) = Fields::any(field.node, "section `assets`", &mut reader.findings) else {
        return;
    };
    let mut seen = BTreeSet::new();
    let mut empty: Option<Field<'_>> = None;
    for entry in assets.iter() {
        let before = empty.take();
        empty = (entry.node.value == Value::Null).then_some(entry);
        if let Some(before) = before.filter(|_| is_key_of_asset(&entry)) {
            refuse_outdented(&before, &entry, reader);
            continue;
        }
        let key: Option<AssetKey> = parsed(entry.name, entry.name_spot, &mut reader.findings);
        let what = format!("asset `{}`", entry.name);
        let fields = Fields::open_or_empty(entry.node, &what, ASSET.keys, &mut reader.findings);
        // What is no object counts as declared: those who refer to it are not wrong.
        let fields = fields.unwrap_or_else(|| Fields::none(&what, entry.node.spot));
        if let Some(key) = key {
            if !seen.insert(key.clone()) {
                refuse_twin(&key, &entry, reader);
            }
            note_places(&key, &entry, &fields, reader);
            let asset = asset(key, &fields, reader);
            reader.manifest.assets.push(asset);
        }
    }
}

fn asset(key: AssetKey, fields: &Fields<'_>, reader: &mut Reader) -> AssetDef {
    let partitions = fields.get("partitions").and_then(|it| division(&key, &it, reader));
    let findings = &mut reader.findings;
    let step: Option<StepConfig> =
        fields.get("step").and_then(|it| steps::of_object(&it, &Sight::STEP, findings));
    AssetDef {
        deps: deps(fields, findings),
        description: fields.get("description").and_then(|it| it.text(findings)),
        group: fields
            .get("group")
            .and_then(|it| it.filled(findings))
            .unwrap_or_else(|| "default".to_owned()),
        kinds: fields.get("kinds").map(|it| it.texts(findings)).unwrap_or_default(),
        owners: fields.get("owners").map(|it| it.texts(findings)).unwrap_or_default(),
        tags: jobs::tags(fields, findings),
        metadata: fields.get("metadata").map(|it| metadata(&it, findings)).unwrap_or_default(),
        partitions,
        io: fields.get("io").and_then(|it| it.parsed::<IoName>(findings)),
        limits: limits::of_step(fields, step.as_ref(), findings),
        step,
        timeout: timing::timeout(fields, findings),
        retry: timing::retry(fields, findings),
        pool: fields.get("pool").and_then(|it| queue::pool_use(&it, findings)),
        code_version: fields.get("code_version").and_then(|it| it.filled(findings)),
        output_required: fields
            .get("output_required")
            .and_then(|it| it.flag(findings))
            .unwrap_or(true),
        key,
    }
}

fn deps(fields: &Fields<'_>, findings: &mut Findings) -> Vec<AssetKey> {
    let mut deps: Vec<AssetKey> =
        fields.get("deps").map(|it| it.parsed_list(findings)).unwrap_or_default();
    let mut seen = BTreeSet::new();
    deps.retain(|key| seen.insert(key.clone()));
    deps
}

/// The name of the asset's partitions definition; an inline one is named after the asset.
fn division(key: &AssetKey, field: &Field<'_>, reader: &mut Reader) -> Option<PartitionsName> {
    if let Some(name) = field.node.plain() {
        return parsed(name, field.node.spot, &mut reader.findings);
    }
    let what = format!("partitions of asset `{key}`");
    let definition = partitions::definition(field.node, &what, &mut reader.findings)?;
    let help = "declare the definition under `partitions:` with a name of its own";
    let Ok(name) = key.parts().join(".").parse::<PartitionsName>() else {
        let message = format!("The {what} cannot be named after the asset");
        reader.findings.error(ErrorCode::DefinitionValue, field.node.spot, message).help(help);
        return None;
    };
    if reader.manifest.partitions.contains_key(&name) {
        let message = format!("A partitions definition is already called `{name}`");
        reader.findings.error(ErrorCode::DefinitionNameTaken, field.node.spot, message).help(help);
        return None;
    }
    reader.places.note(&["partitions", name.as_str()], field.node.spot);
    reader.manifest.partitions.insert(name.clone(), definition);
    Some(name)
}

fn metadata(field: &Field<'_>, findings: &mut Findings) -> BTreeMap<String, MetadataValue> {
    let Some(fields) = Fields::any(field.node, "asset's `metadata`", findings) else {
        return BTreeMap::new();
    };
    let size = field.node.json().to_string().len();
    if size > METADATA_MAX {
        let message = format!("`metadata` has {size} bytes; at most {METADATA_MAX} are kept");
        findings
            .error(ErrorCode::DefinitionTooLarge, field.node.spot, message)
            .help("keep large descriptions in a file and link to it");
    }
    fields.iter().map(|it| (it.name.to_owned(), MetadataValue::infer(it.node.json()))).collect()
}

/// Remembers where the asset and its references stand.
fn note_places(key: &AssetKey, entry: &Field<'_>, fields: &Fields<'_>, reader: &mut Reader) {
    let key = key.to_string();
    reader.places.note(&["asset", &key], entry.name_spot);
    for name in ["partitions", "io", "step", "pool"] {
        if let Some(field) = fields.get(name) {
            reader.places.note(&["asset", &key, name], field.node.spot);
        }
    }
    if let Some(step) = fields.get("step") {
        let path = ["asset", &key, "step"];
        reader.places.note_key(step.node, &path, "resource");
        template::note_names(step.node, &path, &mut reader.places);
        sql_params::note_parameters(step.node, &path, &mut reader.places);
    }
    if let Some(Value::List(items)) = fields.get("deps").map(|field| &field.node.value) {
        for item in items {
            if let Some(text) = item.plain() {
                reader.places.note(&["asset", &key, "deps", text], item.spot);
            }
        }
    }
}

/// Whether what stands where an asset does is rather a key of one.
fn is_key_of_asset(entry: &Field<'_>) -> bool {
    let is_asset = match &entry.node.value {
        Value::Null => true,
        Value::Map(fields) => fields.iter().all(|field| is_known(&field.key, ASSET.keys)),
        _ => false,
    };
    is_known(entry.name, ASSET.keys) && !is_asset
}

/// Reports a key of the asset `before` that stands beside it and not below.
fn refuse_outdented(before: &Field<'_>, entry: &Field<'_>, reader: &mut Reader) {
    let (asset, key) = (before.name, entry.name);
    let message = format!("`{key}` stands beside the asset `{asset}`, which has nothing below it");
    reader
        .findings
        .error(ErrorCode::DefinitionUnknownKey, entry.name_spot, message)
        .help(format!("write `{key}` deeper than `{asset}`, as a key of it"));
}

/// Reports an asset whose key was there before, written differently (`a` and `\a`).
fn refuse_twin(key: &AssetKey, entry: &Field<'_>, reader: &mut Reader) {
    let message = format!("Asset `{key}` is declared twice");
    reader
        .findings
        .error(ErrorCode::DefinitionDuplicateKey, entry.name_spot, message)
        .help("keep one of the two");
}
