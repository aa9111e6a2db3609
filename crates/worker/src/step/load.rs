//! Steps that load the rows of an upstream asset into a table.

use millstream_io::{
    IoError, TableFile, TableName, TableWrite, Written, open, row_count, write_table,
};
use millstream_model::{AssetKey, ErrorCode, LoadMode, LoadStep};
use serde_json::{Value, json};

use super::attempt::{Attempt, Ending, Returned};
use super::context::Context;
use super::io::Child;

/// Loads the rows that `step` names.
///
/// Without rows nothing is loaded: the table stays as it is, a warning says so, and an asset with
/// `output_required: false` was not made.
pub(super) async fn run(
    attempt: &Attempt<'_>,
    step: &LoadStep,
    context: &Context,
) -> Result<Returned, Ending> {
    let templates = context.templates();
    let render = |text: &str| templates.render(text).map_err(Ending::ForGood);
    let asset = upstream(attempt, step)?;
    let resource = attempt.database(&step.resource, &templates)?;
    let schema = step.schema.as_deref().map(render).transpose()?;
    let table = TableName::new(&resource, schema.as_deref(), render(&step.table)?);

    let scratch = attempt.scratch()?;
    let child = Child::new(attempt, &scratch);
    let ended = |error: IoError| child.ending(&error);
    let (io, address) = attempt.input(asset)?;
    let manager = open(attempt.io_settings(io, attempt.setting_templates())?, &child);
    let copy = scratch.input(0);
    if attempt.unmade_columns(asset).is_some() {
        return Ok(nothing(attempt, asset, &table, step.mode));
    }
    let source = attempt.bounded(manager.rows(&address, &copy)).await?.map_err(ended)?;
    if is_empty(source.clone()).await? {
        return Ok(nothing(attempt, asset, &table, step.mode));
    }
    let write = TableWrite {
        resource,
        table: table.clone(),
        columns: step.columns.clone(),
        mode: step.mode,
        source,
        keeper: None,
        session: attempt.session(),
    };
    let written = attempt.bounded(write_table(write, &child)).await?.map_err(ended)?;
    let Written { rows, hash, mut notes, bytes: _ } = written;
    notes.push(format!("Loaded {rows} rows of {asset} into {table}"));
    attempt.say(&notes);
    let mut result = result(&table, rows, step.mode);
    if let (LoadMode::Replace, Some(fields)) = (step.mode, result.as_object_mut()) {
        fields.insert("data_version".to_owned(), json!(hash));
    }
    Ok(Returned::Value(result))
}

/// What comes of `asset` without rows, with a warning in the step's log.
fn nothing(attempt: &Attempt<'_>, asset: &AssetKey, table: &TableName, mode: LoadMode) -> Returned {
    let message =
        format!("warning: {asset} has no rows; nothing is loaded and {table} stays as it is");
    attempt.say(&[message]);
    if attempt.step.asset.as_ref().is_some_and(|asset| !asset.output_required) {
        return Returned::Value(Value::Null);
    }
    Returned::Value(result(table, 0, mode))
}

/// The asset whose rows are loaded: the one that is named, or the only one there is.
fn upstream<'a>(attempt: &'a Attempt<'_>, step: &'a LoadStep) -> Result<&'a AssetKey, Ending> {
    if let Some(asset) = &step.asset {
        return Ok(asset);
    }
    let inputs = attempt.step.asset.as_ref().map(|asset| asset.inputs.as_slice());
    if let Some([input]) = inputs {
        return Ok(&input.asset);
    }
    let message = "the step does not say whose rows it loads; name the asset: `asset: orders`";
    Err(Ending::for_good(ErrorCode::StepInput, message.to_owned()))
}

async fn is_empty(source: TableFile) -> Result<bool, Ending> {
    let counted = tokio::task::spawn_blocking(move || row_count(&source, 1)).await;
    let unread = |problem: String| {
        let message = format!("the rows cannot be read: {problem}");
        Ending::failed(ErrorCode::StepInput, message)
    };
    let count = counted
        .map_err(|error| unread(error.to_string()))?
        .map_err(|error| unread(error.to_string()))?;
    Ok(count == 0)
}

fn result(table: &TableName, rows: u64, mode: LoadMode) -> Value {
    let table = table.to_string();
    json!({
        "rows_loaded": rows,
        "table": table,
        "metadata": { "rows_loaded": rows, "table": table, "mode": mode },
    })
}
