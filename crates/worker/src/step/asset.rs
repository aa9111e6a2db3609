//! What a step's success means for the asset that it makes.

use std::collections::BTreeMap;

use millstream_model::{EventBody, MetadataValue};
use serde_json::Value;

use super::{Attempt, Ending};

/// The materialization that `value` stands for, if the step makes an asset and made something.
pub(super) async fn materialize(
    attempt: &Attempt<'_>,
    value: &Value,
) -> Result<Option<EventBody>, Ending> {
    let Some(asset) = &attempt.step.asset else { return Ok(None) };
    if value.is_null() && !asset.output_required {
        return Ok(None);
    }
    let data_version = value.get("data_version").and_then(Value::as_str).map(str::to_owned);
    Ok(Some(EventBody::Materialized {
        step: attempt.step.key.clone(),
        asset: asset.key.clone(),
        partition: asset.partition.clone(),
        metadata: metadata(value),
        data_version,
        code_version: asset.code_version.clone(),
    }))
}

/// The `metadata` object of a result, each value with the kind of its shape.
fn metadata(value: &Value) -> BTreeMap<String, MetadataValue> {
    let Some(Value::Object(metadata)) = value.get("metadata") else { return BTreeMap::new() };
    let infer =
        |(name, value): (&String, &Value)| (name.clone(), MetadataValue::infer(value.clone()));
    metadata.iter().map(infer).collect()
}
