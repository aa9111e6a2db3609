//! Inputs that a step of this run was to make and did not make, because there was nothing to keep.
//!
//! The steps below read no rows then, and never those of an earlier run. What says so is what the
//! step above returned, which a run keeps: so it holds for the next worker of the run as well, and
//! for a retry that keeps the steps that are done.

use std::collections::BTreeMap;

use millstream_model::{AssetKey, AssetStep, ErrorCode, IoDef, PartitionKey, StepInput};
use serde_json::{Value, json};

use super::attempt::{Attempt, Ending};

/// The inputs that were not made, each with the columns that its step named all the same.
pub(super) type Unmade = BTreeMap<AssetKey, Vec<String>>;

/// What stands for a result that is null and not nothing: its step has reported the asset itself.
pub(super) fn reported() -> Value {
    json!({ "reported": true })
}

/// Whether a step that returned `value` made nothing, where it need not make anything.
pub(super) fn is_nothing(value: &Value) -> bool {
    value.is_null() || has_no_rows(value)
}

/// Whether `value` spells out rows, and there are none.
pub(super) fn has_no_rows(value: &Value) -> bool {
    let rows = match value {
        Value::Object(fields) if fields.contains_key("columns") => fields.get("rows"),
        list => Some(list),
    };
    rows.and_then(Value::as_array).is_some_and(Vec::is_empty)
}

/// The inputs of `asset` that the steps of this run which returned `results` did not make.
pub(super) fn unmade(asset: &AssetStep, results: &BTreeMap<String, Value>) -> Unmade {
    let of = |input: &StepInput| {
        // The step of an asset is called like it.
        let is_read = input.optional && input.source.io().is_some();
        let result = results.get(&input.asset.to_string()).filter(|_| is_read)?;
        is_nothing(result).then(|| (input.asset.clone(), columns(result)))
    };
    asset.inputs.iter().filter_map(of).collect()
}

fn columns(result: &Value) -> Vec<String> {
    let names = result.get("columns").and_then(Value::as_array).into_iter().flatten();
    names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// What programs are told of an input that is not there.
pub(super) fn no_place(io: &IoDef, partition: Option<&PartitionKey>) -> Value {
    match io {
        IoDef::Json(_) | IoDef::Csv(_) => json!({ "path": null, "partition": partition }),
        IoDef::Table(io) => json!({
            "resource": io.resource,
            "schema": null,
            "table": null,
            "sql_name": null,
            "partition": partition,
        }),
    }
}

impl Attempt<'_> {
    /// Remembers which inputs were not made, and says so.
    pub(super) fn note_unmade(&mut self, unmade: Unmade) {
        if self.unmade == unmade {
            return;
        }
        let line = |asset: &AssetKey| format!("{asset} was not made in this run: no rows are read");
        self.say(&unmade.keys().map(line).collect::<Vec<_>>());
        self.unmade = unmade;
    }

    /// The columns that the step of `asset` named, where it made nothing in this run.
    pub(super) fn unmade_columns(&self, asset: &AssetKey) -> Option<&[String]> {
        self.unmade.get(asset).map(Vec::as_slice)
    }
}

/// The error of a table without rows of which nobody knows the columns.
pub(super) fn no_columns(asset: &AssetKey, partition: Option<&PartitionKey>) -> Ending {
    let partition = partition.map(|key| format!(" [{key}]")).unwrap_or_default();
    let message = format!(
        "input {asset}{partition} has neither rows nor columns: its step made nothing in this run, \
         and it was never made before; let its step name the columns, \
         `{{\"columns\": [\"id\"], \"rows\": []}}`"
    );
    Ending::failed(ErrorCode::StepInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_result_says_is_told_from_what_is_nothing() {
        for nothing in [json!(null), json!([]), json!({ "columns": ["a"], "rows": [] })] {
            assert!(is_nothing(&nothing), "{nothing}");
        }
        for some in [json!([1]), json!({}), json!({ "rows": [] }), json!(0), reported()] {
            assert!(!is_nothing(&some), "{some}");
        }
    }
}
