//! What a step gave back, kept: in the IO manager of its asset, and in the run's events.

use std::collections::BTreeMap;
use std::path::PathBuf;

use millstream_blob::RESULT_MAX;
use millstream_io::{IoError, Output, Place, Stored, Table, TableError};
use millstream_model::{
    AssetStep, ErrorCode, EventBody, IoDef, MetadataKind, MetadataValue, StepConfig,
};
use serde_json::{Value, json};

use super::attempt::{Attempt, Ending};
use super::io::Child;
use super::result;
use super::scratch::Scratch;
use super::unmade::{has_no_rows, reported};

/// The keys of a result that speak about the asset and are no part of it.
const METADATA: &str = "metadata";
const DATA_VERSION: &str = "data_version";

/// The largest metadata of a materialization, whose event carries it.
const METADATA_MAX: usize = 64 * 1024;

/// The most columns of a single row that becomes metadata.
const COLUMNS_MAX: usize = 50;

/// What is said about an asset, by name.
pub(super) type Metadata = BTreeMap<String, MetadataValue>;

/// The rows that a step left in its folder.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) columns: Vec<String>,
    pub(super) count: u64,
    /// What the step says about them.
    pub(super) metadata: Metadata,
    pub(super) scratch: Scratch,
}

/// A step's success, ready for its events.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) result: Value,
    pub(super) result_ref: Option<String>,
    pub(super) materialized: Option<EventBody>,
}

/// What there is to say about a value.
struct About {
    metadata: Metadata,
    data_version: Option<String>,
    /// What of the value its IO manager keeps.
    content: fn(&Value) -> Value,
}

/// Keeps `value`, which a step's program returned, with what it says in it about its asset.
pub(super) async fn keep_value(attempt: &Attempt<'_>, value: Value) -> Result<Kept, Ending> {
    let about = |value: &Value| {
        attempt.say(&left_out(value));
        let version = value.get(DATA_VERSION).and_then(Value::as_str);
        Ok(About {
            metadata: metadata_of(value)?,
            data_version: version.map(str::to_owned),
            content: without_words,
        })
    };
    keep(attempt, value, about).await
}

/// Keeps `value`, a document from elsewhere: whatever is in it belongs to it.
pub(super) async fn keep_document(
    attempt: &Attempt<'_>,
    value: Value,
    metadata: Metadata,
) -> Result<Kept, Ending> {
    let about = |_: &Value| Ok(About { metadata, data_version: None, content: Value::clone });
    keep(attempt, value, about).await
}

async fn keep(
    attempt: &Attempt<'_>,
    value: Value,
    about: impl FnOnce(&Value) -> Result<About, Ending>,
) -> Result<Kept, Ending> {
    let materialized = match &attempt.step.asset {
        None => None,
        Some(asset) if value.is_null() && !asset.output_required => None,
        Some(asset) if has_no_rows(&value) && !asset.output_required => {
            attempt.say(&[not_made(asset)]);
            None
        }
        // Its program has kept what it made, and said so.
        Some(_) if value.is_null() && attempt.has_made_asset => None,
        Some(asset) => {
            let About { mut metadata, mut data_version, content } = about(&value)?;
            if let Some(io) = &asset.io {
                let output = Output::Value(content(stored_value(asset, &value)?));
                let stored = store(attempt, asset, io, output, &attempt.scratch_files()?).await?;
                add_stored(&mut metadata, &stored);
                data_version.get_or_insert_with(|| stored.hash.to_string());
            }
            let event = materialized(attempt, asset, metadata, data_version);
            Some(event).filter(|_| !attempt.has_made_asset)
        }
    };
    // To the steps below null would say that nothing was made.
    let is_told = attempt.has_made_asset
        && attempt.step.asset.as_ref().is_some_and(|asset| !asset.output_required);
    let value = if value.is_null() && is_told { reported() } else { value };
    let (result, result_ref) = result::keep(attempt, value).await?;
    Ok(Kept { result, result_ref, materialized })
}

/// Keeps the rows of a step: in the asset's IO manager, or as the result.
pub(super) async fn keep_rows(attempt: &Attempt<'_>, rows: Rows) -> Result<Kept, Ending> {
    let asset = attempt.step.asset.as_ref();
    if let Some(asset) = asset.filter(|asset| rows.count == 0 && !asset.output_required) {
        attempt.say(&[not_made(asset)]);
        let result = json!({ "columns": rows.columns, "rows": [], "row_count": 0 });
        return Ok(Kept { result, result_ref: None, materialized: None });
    }
    if let Some(asset) = asset
        && let Some(io) = &asset.io
    {
        let output = Output::Rows(rows.scratch.rows());
        let stored = store(attempt, asset, io, output, &rows.scratch).await?;
        let mut metadata = rows.metadata;
        add_stored(&mut metadata, &stored);
        let version = Some(stored.hash.to_string());
        let result = json!({ "columns": rows.columns, "row_count": rows.count });
        let materialized = Some(materialized(attempt, asset, metadata, version));
        return Ok(Kept { result, result_ref: None, materialized });
    }
    let table = Table::from_rows_file(&rows.scratch.rows(), RESULT_MAX as u64)
        .map_err(|error| no_result(&error, asset))?;
    let materialized = attempt.step.asset.as_ref().map(|asset| {
        let mut metadata = rows.metadata;
        metadata.extend(row_metadata(&table));
        materialized(attempt, asset, metadata, None)
    });
    let value = json!({ "columns": table.columns, "rows": table.rows });
    let (result, result_ref) = result::keep(attempt, value).await?;
    Ok(Kept { result, result_ref, materialized })
}

/// The error of rows that are no result of a step, which makes `asset` if it is one's.
fn no_result(error: &TableError, asset: Option<&AssetStep>) -> Ending {
    let problem = match error {
        // The file is the step's own, which nobody finds any more.
        TableError::TooLarge { limit, .. } => {
            format!("they take more than {} MiB", limit.div_ceil(1 << 20))
        }
        error => error.to_string(),
    };
    let way = match asset {
        Some(_) => "give the asset an `io`, or select less",
        None => "select less, or write them into a table; an asset keeps them in its `io`",
    };
    let message = format!("the rows cannot be the step's result: {problem}; {way}");
    Ending::for_good(ErrorCode::StepResult, message)
}

fn materialized(
    attempt: &Attempt<'_>,
    asset: &AssetStep,
    metadata: BTreeMap<String, MetadataValue>,
    data_version: Option<String>,
) -> EventBody {
    EventBody::Materialized {
        step: attempt.step.key.clone(),
        asset: asset.key.clone(),
        partition: asset.partition.clone(),
        metadata,
        data_version,
        code_version: asset.code_version.clone(),
        remark: None,
    }
}

/// The `metadata` object of a result, each value with the kind of its shape.
fn metadata_of(value: &Value) -> Result<BTreeMap<String, MetadataValue>, Ending> {
    let Some(given @ Value::Object(metadata)) = value.get(METADATA) else {
        return Ok(BTreeMap::new());
    };
    let size = given.to_string().len();
    if size > METADATA_MAX {
        let message = format!(
            "the metadata takes {size} bytes, over the limit of 64 KiB; write a file and return \
             its path"
        );
        return Err(Ending::for_good(ErrorCode::StepResult, message));
    }
    let infer =
        |(name, value): (&String, &Value)| (name.clone(), MetadataValue::infer(value.clone()));
    Ok(metadata.iter().map(infer).collect())
}

/// Lines about what a result says of its asset in another form than it has to have.
fn left_out(value: &Value) -> Vec<String> {
    let line = |name: &str, wanted: &str, found: &Value| {
        format!("the result's `{name}` is left out, because it is {} and no {wanted}", kind(found))
    };
    let metadata = value.get(METADATA).filter(|it| !it.is_object() && !it.is_null());
    let version = value.get(DATA_VERSION).filter(|it| !it.is_string() && !it.is_null());
    let metadata = metadata.map(|found| line(METADATA, "object", found));
    metadata.into_iter().chain(version.map(|found| line(DATA_VERSION, "text", found))).collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// What a table says about its asset: a single row is a summary, more are counted.
fn row_metadata(table: &Table) -> BTreeMap<String, MetadataValue> {
    match table.rows.as_slice() {
        [row] if table.columns.len() <= COLUMNS_MAX => {
            let cells = table.columns.iter().zip(row);
            cells
                .map(|(column, cell)| (column.clone(), MetadataValue::infer(cell.clone())))
                .collect()
        }
        rows => BTreeMap::from([("rows".to_owned(), count(rows.len() as u64))]),
    }
}

/// Adds what is known of `stored`, but for names that the step gave a meaning of its own.
fn add_stored(metadata: &mut Metadata, stored: &Stored) {
    for (name, value) in stored_metadata(stored) {
        metadata.entry(name).or_insert(value);
    }
}

fn stored_metadata(stored: &Stored) -> Vec<(String, MetadataValue)> {
    let place = match &stored.place {
        Place::File(path) => {
            let value = json!(path.to_string_lossy());
            ("path".to_owned(), MetadataValue { kind: MetadataKind::Path, value })
        }
        Place::Table { table, partition: _ } => {
            ("table".to_owned(), MetadataValue::text(table.to_string()))
        }
    };
    let mut metadata = vec![place, ("bytes".to_owned(), count(stored.bytes))];
    if let Some(rows) = stored.rows {
        metadata.push(("rows".to_owned(), count(rows)));
    }
    metadata
}

fn count(number: u64) -> MetadataValue {
    MetadataValue::int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// `value`, which is there to be stored.
fn stored_value<'a>(asset: &AssetStep, value: &'a Value) -> Result<&'a Value, Ending> {
    if !value.is_null() {
        return Ok(value);
    }
    let message = format!(
        "the step returned no result for the `io` of {}; a program writes one to the file in \
         MILLSTREAM_RESULT, and `output_required: false` allows to make nothing",
        asset.key
    );
    Err(Ending::failed(ErrorCode::StepResult, message))
}

fn not_made(asset: &AssetStep) -> String {
    format!("there are no rows, so {} is not made", asset.key)
}

/// `value` without what it says about its asset.
fn without_words(value: &Value) -> Value {
    let mut content = value.clone();
    if let Some(content) = content.as_object_mut() {
        content.remove(METADATA);
        content.remove(DATA_VERSION);
    }
    content
}

async fn store(
    attempt: &Attempt<'_>,
    asset: &AssetStep,
    io: &IoDef,
    output: Output,
    scratch: &Scratch,
) -> Result<Stored, Ending> {
    let child = Child::new(attempt, scratch);
    let settings = attempt.io_settings(io, attempt.setting_templates())?;
    let manager = millstream_io::open(settings, &child);
    let address = attempt.address(&asset.key, asset.partition.as_ref());
    let stored = attempt.bounded(manager.store(&address, output)).await?;
    let stored = stored.map_err(|error| match (&error, without_rows(&attempt.step.step)) {
        (IoError::NoTable { .. }, Some(way)) => Ending::failed(error.code(), way.to_owned()),
        _ => child.ending(&error),
    })?;
    let mut lines = stored.notes.clone();
    lines.push(stored.log_line());
    attempt.say(&lines);
    Ok(stored)
}

/// What an author is told whose step has rows and does not say so.
fn without_rows(step: &StepConfig) -> Option<&'static str> {
    match step {
        StepConfig::Sql(sql) if !sql.rows => Some(
            "the statements give no rows to keep; write `rows: true` in the step, and those of \
             the last statement are kept",
        ),
        StepConfig::Http(http) if http.rows.is_none() => Some(
            "the answer cannot be kept as rows; write in the step where they are in it, as in \
             `rows: /data`, or use an `io` of kind `json`",
        ),
        _ => None,
    }
}

impl Attempt<'_> {
    /// A path of the definition, below its root unless it is absolute.
    pub(super) fn below_root(&self, path: &str) -> PathBuf {
        self.worker.settings.root.join(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_row_describes_the_asset_and_more_rows_are_counted() {
        let table = |rows: Value| {
            Table::from_json(&json!({ "columns": ["flights", "first"], "rows": rows })).unwrap()
        };
        let one = row_metadata(&table(json!([[9, "2013-01-01"]])));
        assert_eq!(one["flights"], MetadataValue::int(9));
        assert_eq!(one["first"], MetadataValue::text("2013-01-01"));
        let two = row_metadata(&table(json!([[9, "a"], [8, "b"]])));
        assert_eq!(two["rows"], MetadataValue::int(2));
    }

    #[test]
    fn r039_metadata_of_a_result_gets_kinds() {
        let value = json!({ "metadata": { "quality": 98.5, "owner": "ops" } });
        let kinds: Vec<MetadataKind> =
            metadata_of(&value).unwrap().values().map(|m| m.kind).collect();
        assert_eq!(kinds, [MetadataKind::Text, MetadataKind::Float]);
    }
}
