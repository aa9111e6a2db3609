//! Steps that are SQL statements: what is asked of `io`, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use millstream_blob::{LogStream, LogWriter};
use millstream_io::sql_child::ChildRequest;
use millstream_io::{
    IoError, IoSettings, Keeper, Kept, Notices, Place, SqlAnswer, SqlFailure, SqlOutcome,
    SqlRequest, TableFile, open, run_postgres,
};
use millstream_model::sql_text::Quotes;
use millstream_model::{AssetKey, MetadataKind, MetadataValue, ReadSource, ResourceDef, SqlStep};
use serde_json::{Value, json};

use super::asset::Rows;
use super::attempt::{Attempt, Ending, Returned};
use super::context::Context;
use super::io::{Child, in_child, no_database};
use super::process::no_folder;
use super::scratch::Scratch;
use super::template::Templates;
use super::unmade::no_columns;

/// Runs the statements of `step`.
pub(super) async fn run(
    attempt: &Attempt<'_>,
    step: &SqlStep,
    context: &Context,
) -> Result<Returned, Ending> {
    let scratch = attempt.scratch()?;
    let request = request(attempt, step, &context.templates(), &scratch).await?;
    let outcome = match &request.resource {
        ResourceDef::Sqlite { .. } => on_file(attempt, request, &scratch).await?,
        ResourceDef::Postgres { .. } => on_server(attempt, &request).await?,
        ResourceDef::Http(_) => return Err(no_database(&step.resource)),
    };
    write_log(attempt, &outcome);
    let metadata = BTreeMap::from([("statements".to_owned(), statements(&outcome))]);
    let Some(count) = outcome.row_count else {
        let affected = outcome.rows_affected;
        return Ok(Returned::Value(json!({ "rows_affected": affected, "metadata": metadata })));
    };
    Ok(Returned::Rows(Rows { columns: outcome.columns, count, metadata, scratch }))
}

/// What each statement did and how long it took.
fn statements(outcome: &SqlOutcome) -> MetadataValue {
    let rows = each_statement(outcome).take(STATEMENTS_MAX);
    let rows =
        rows.map(|(number, rows, ms)| json!({ "statement": number, "rows": rows, "ms": ms }));
    MetadataValue { kind: MetadataKind::Table, value: rows.collect() }
}

/// The number of each statement, from 1, the rows that it changed or gave, and its milliseconds.
fn each_statement(outcome: &SqlOutcome) -> impl Iterator<Item = (usize, u64, u64)> {
    let last = outcome.rows_affected.len();
    let each = outcome.rows_affected.iter().zip(&outcome.statement_micros);
    each.enumerate().map(move |(index, (affected, micros))| {
        let number = index + 1;
        let given = outcome.row_count.filter(|_| number == last);
        (number, given.unwrap_or(*affected), micros.div_ceil(1000))
    })
}

/// The most statements that metadata tells of; the step's log has all.
const STATEMENTS_MAX: usize = 100;

/// The request with every template resolved and every path absolute.
async fn request(
    attempt: &Attempt<'_>,
    step: &SqlStep,
    templates: &Templates<'_>,
    scratch: &Scratch,
) -> Result<SqlRequest, Ending> {
    let resource = attempt.database(&step.resource, templates)?;
    let quotes = match resource {
        ResourceDef::Sqlite { .. } => Quotes::Sqlite,
        _ => Quotes::Standard,
    };
    let statements = step.statements.iter().map(|text| templates.render_sql(text, quotes));
    let mut request = SqlRequest {
        resource,
        statements: statements.collect::<Result<_, _>>().map_err(Ending::ForGood)?,
        params: params(attempt, step, templates)?,
        read: BTreeMap::new(),
        emptied: BTreeSet::new(),
        kept: BTreeMap::new(),
        rows: step.rows.then(|| scratch.rows()),
        read_only: step.read_only,
        session: attempt.session(),
    };
    for (number, (table, source)) in step.read.iter().enumerate() {
        let table = table.clone();
        match source {
            ReadSource::Csv(path) => {
                let path = templates.render(path).map_err(Ending::ForGood)?;
                request.read.insert(table, TableFile::Csv(attempt.below_root(&path)));
            }
            ReadSource::Asset(asset) => {
                let input = Input { table, asset, copy: scratch.input(number) };
                read_asset(attempt, input, &mut request, scratch).await?;
            }
        }
    }
    Ok(request)
}

/// An upstream asset that is read, and the file for a copy of its rows.
struct Input<'a> {
    table: String,
    asset: &'a AssetKey,
    copy: PathBuf,
}

/// Has `request` see an asset's rows: where they are if they are in the same server, else a copy.
async fn read_asset(
    attempt: &Attempt<'_>,
    input: Input<'_>,
    request: &mut SqlRequest,
    scratch: &Scratch,
) -> Result<(), Ending> {
    let (io, address) = attempt.input(input.asset)?;
    let settings = attempt.io_settings(io, attempt.setting_templates())?;
    let is_there = is_on_the_server(&settings, &request.resource);
    let child = Child::new(attempt, scratch);
    let manager = open(settings, &child);
    if let Some(columns) = attempt.unmade_columns(input.asset) {
        // Its columns are those that it has had, of the types that they had.
        let rows = attempt.bounded(manager.rows(&address, &input.copy)).await?;
        let file = match (rows, columns) {
            (Ok(rows), _) => rows,
            (Err(IoError::Missing { .. }), []) => {
                return Err(no_columns(input.asset, address.partition.as_ref()));
            }
            (Err(error), []) => return Err(child.ending(&error)),
            (Err(_), columns) => columns_alone(columns, input.copy)?,
        };
        request.emptied.insert(input.table.clone());
        request.read.insert(input.table, file);
        return Ok(());
    }
    match manager.place(&address) {
        Place::Table { table, partition: _ } if is_there => {
            let kept = Kept { table, keeper: Keeper::from(&address) };
            request.kept.insert(input.table, kept);
        }
        _ => {
            let rows = attempt.bounded(manager.rows(&address, &input.copy)).await?;
            request.read.insert(input.table, rows.map_err(|error| child.ending(&error))?);
        }
    }
    Ok(())
}

/// A file at `path` in the rows form, with `columns` and no rows.
fn columns_alone(columns: &[String], path: PathBuf) -> Result<TableFile, Ending> {
    let line = format!("{}\n", json!(columns));
    std::fs::write(&path, line).map_err(|error| no_folder(&path, &error))?;
    Ok(TableFile::Rows(path))
}

/// Whether the database of `settings` is the very Postgres database that the statements run in.
fn is_on_the_server(settings: &IoSettings, own: &ResourceDef) -> bool {
    let IoSettings::Table { resource, .. } = settings else { return false };
    match (&**resource, own) {
        (ResourceDef::Postgres { url, .. }, ResourceDef::Postgres { url: own, .. }) => url == own,
        _ => false,
    }
}

/// What `:name` may stand for: what the step declares, and on top what every step has.
fn params(
    attempt: &Attempt<'_>,
    step: &SqlStep,
    templates: &Templates<'_>,
) -> Result<BTreeMap<String, Value>, Ending> {
    let plan = &attempt.assignment.plan;
    let mut params: BTreeMap<_, _> =
        templates.render_params(&step.params).map_err(Ending::ForGood)?;
    params.insert("tenant".to_owned(), json!(plan.tenant));
    params.insert("run_id".to_owned(), json!(attempt.assignment.run));
    params.insert("partition_key".to_owned(), json!(plan.partition));
    for (dimension, value) in &plan.dimensions {
        params.insert(format!("partition_{dimension}"), json!(value));
    }
    Ok(params)
}

/// Has a child of this program execute the request on a SQLite file.
async fn on_file(
    attempt: &Attempt<'_>,
    request: SqlRequest,
    scratch: &Scratch,
) -> Result<SqlOutcome, Ending> {
    match in_child(attempt, ChildRequest::Sql(request), scratch).await? {
        SqlAnswer::Done(outcome) => Ok(outcome),
        SqlAnswer::Failed(failure) => Err(Ending::Failed(failure.into_step_error())),
    }
}

/// Has the server execute the request. Giving up closes the connection, and the server undoes it.
async fn on_server(attempt: &Attempt<'_>, request: &SqlRequest) -> Result<SqlOutcome, Ending> {
    let notices = Notices::default();
    let outcome = attempt.bounded(run_postgres(request, &notices)).await;
    let lines = notices.take();
    if !lines.is_empty() {
        attempt.say(&lines);
    }
    outcome?.map_err(|error| Ending::Failed(SqlFailure::new(&error, request).into_step_error()))
}

/// Says in the step's log what the statements did.
fn write_log(attempt: &Attempt<'_>, outcome: &SqlOutcome) {
    let mut lines: Vec<String> = outcome.notes.clone();
    lines.extend(
        each_statement(outcome)
            .map(|(number, rows, ms)| format!("statement {number}: {rows} rows, {ms} ms")),
    );
    attempt.say(&lines);
}

impl Attempt<'_> {
    /// Appends lines to the log of the attempt's standard output.
    ///
    /// A log that cannot be written loses them: the step has done its work.
    pub(super) fn say(&self, lines: &[String]) {
        let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        let mut log = LogWriter::new(self.log(LogStream::Out));
        if let Err(error) = log.append(text.as_bytes(), self.seams.clock.now()) {
            tracing::warn!(step = %self.step.key, %error, "lines of a step's log are missing");
        }
    }
}
