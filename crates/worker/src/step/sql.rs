//! Steps that are SQL statements: what is asked of `io`, and what came of it.

use std::collections::BTreeMap;
use std::path::Path;

use millstream_blob::{LogStream, LogWriter};
use millstream_io::{
    SqlAnswer, SqlFailure, SqlOutcome, SqlRequest, TableFile, run_postgres, sql_child,
};
use millstream_model::{ErrorCode, ReadSource, ResourceDef, SqlStep};
use serde_json::{Value, json};

use super::asset::{Metadata, Rows};
use super::attempt::{Attempt, Ending, Returned};
use super::context::Context;
use super::process::{no_folder, stopped, timed_out};
use super::scratch::Scratch;
use super::template::Templates;
use crate::supervisor::ProcessSpec;

/// The exit code of the SQL child when its answer is a failure.
const ANSWERED: i32 = 1;

/// Runs the statements of `step`.
pub(super) async fn run(
    attempt: &mut Attempt<'_>,
    step: &SqlStep,
    context: &Context,
) -> Result<Returned, Ending> {
    let scratch = attempt.scratch()?;
    let request = request(attempt, step, &context.templates(), &scratch)?;
    let outcome = match &request.resource {
        ResourceDef::Sqlite { .. } => in_child(attempt, &request, &scratch).await?,
        ResourceDef::Postgres { .. } => on_server(attempt, &request).await?,
        ResourceDef::Http(_) => return Err(no_database(step)),
    };
    write_log(attempt, &outcome);
    let Some(count) = outcome.row_count else {
        return Ok(Returned::Value(json!({ "rows_affected": outcome.rows_affected })));
    };
    let metadata = Metadata::new();
    Ok(Returned::Rows(Rows { columns: outcome.columns, count, metadata, scratch }))
}

/// The request with every template resolved and every path absolute.
fn request(
    attempt: &Attempt<'_>,
    step: &SqlStep,
    templates: &Templates,
    scratch: &Scratch,
) -> Result<SqlRequest, Ending> {
    let statements = step.statements.iter().map(|text| templates.render_sql(text));
    let mut read = BTreeMap::new();
    for (table, source) in &step.read {
        read.insert(table.clone(), table_file(attempt, source, templates)?);
    }
    Ok(SqlRequest {
        resource: resource(attempt, step, templates)?,
        statements: statements.collect::<Result<_, _>>().map_err(Ending::ForGood)?,
        params: params(attempt, step, templates)?,
        read,
        rows: step.rows.then(|| scratch.rows()),
        read_only: step.read_only,
        output: scratch.answer(),
    })
}

fn resource(
    attempt: &Attempt<'_>,
    step: &SqlStep,
    templates: &Templates,
) -> Result<ResourceDef, Ending> {
    let Some(resource) = attempt.assignment.plan.resources.get(&step.resource) else {
        let message = format!("resource `{}` is not declared under `resources`", step.resource);
        return Err(Ending::for_good(ErrorCode::StepResource, message));
    };
    let render = |text: &str| templates.render(text).map_err(Ending::ForGood);
    Ok(match resource {
        ResourceDef::Sqlite { path } => {
            let path = attempt.below_root(&render(path)?);
            ResourceDef::Sqlite { path: path.to_string_lossy().into_owned() }
        }
        ResourceDef::Postgres { url, schema } => ResourceDef::Postgres {
            url: render(url)?,
            schema: schema.as_deref().map(render).transpose()?,
        },
        ResourceDef::Http(_) => return Err(no_database(step)),
    })
}

fn no_database(step: &SqlStep) -> Ending {
    let message = format!(
        "resource `{}` is no database; name one of kind `sqlite` or `postgres`",
        step.resource
    );
    Ending::for_good(ErrorCode::StepResource, message)
}

/// What `:name` may stand for: what the step declares, and on top what every step has.
fn params(
    attempt: &Attempt<'_>,
    step: &SqlStep,
    templates: &Templates,
) -> Result<BTreeMap<String, Value>, Ending> {
    let plan = &attempt.assignment.plan;
    let mut params = BTreeMap::new();
    for (name, value) in &step.params {
        let value = match value {
            Value::String(text) => Value::String(templates.render(text).map_err(Ending::ForGood)?),
            other => other.clone(),
        };
        params.insert(name.clone(), value);
    }
    params.insert("tenant".to_owned(), json!(plan.tenant));
    params.insert("run_id".to_owned(), json!(attempt.assignment.run));
    params.insert("partition_key".to_owned(), json!(plan.partition));
    for (dimension, value) in &plan.dimensions {
        params.insert(format!("partition_{dimension}"), json!(value));
    }
    Ok(params)
}

fn table_file(
    attempt: &Attempt<'_>,
    source: &ReadSource,
    templates: &Templates,
) -> Result<TableFile, Ending> {
    match source {
        ReadSource::Csv(path) => {
            let path = templates.render(path).map_err(Ending::ForGood)?;
            Ok(TableFile::Csv(attempt.below_root(&path)))
        }
        ReadSource::Asset(asset) => {
            let (io, address) = attempt.input(asset, templates)?;
            io.source(&address).map_err(|error| Ending::failed(error.code(), error.message()))
        }
    }
}

/// Has a child of this program execute the request on a SQLite file.
async fn in_child(
    attempt: &mut Attempt<'_>,
    request: &SqlRequest,
    scratch: &Scratch,
) -> Result<SqlOutcome, Ending> {
    let path = scratch.request();
    sql_child::write_request(&path, request)
        .map_err(|error| no_folder(&path, &std::io::Error::other(error)))?;
    let (program, args) = attempt.worker.settings.sql_program.clone();
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let spec = ProcessSpec {
        program: text(&program),
        args: args.into_iter().chain([text(&path)]).collect(),
        ..attempt.bare_process()
    };
    attempt.run_process(spec, |code| code == ANSWERED).await?;
    match sql_child::read_answer(&request.output) {
        Ok(SqlAnswer::Done(outcome)) => Ok(outcome),
        Ok(SqlAnswer::Failed(failure)) => Err(Ending::Failed(failure.into_step_error())),
        Err(error) => Err(no_folder(&request.output, &std::io::Error::other(error))),
    }
}

/// Has the server execute the request. Giving up closes the connection, and the server undoes it.
async fn on_server(attempt: &mut Attempt<'_>, request: &SqlRequest) -> Result<SqlOutcome, Ending> {
    let timeout = attempt.timeout();
    let too_long = attempt.seams.clock.sleep(timeout);
    tokio::select! {
        result = run_postgres(request) => result.map_err(|error| {
            Ending::Failed(SqlFailure::new(&error, request).into_step_error())
        }),
        () = stopped(&mut attempt.stop) => Err(Ending::Canceled),
        () = too_long => Err(timed_out(timeout, String::new())),
    }
}

/// Says in the step's log what the statements did.
fn write_log(attempt: &Attempt<'_>, outcome: &SqlOutcome) {
    let counts = outcome.rows_affected.iter().enumerate();
    let mut lines: Vec<String> = outcome.notes.clone();
    lines.extend(counts.map(|(index, rows)| format!("statement {}: {rows} rows", index + 1)));
    if let Some(rows) = outcome.row_count {
        lines.push(format!("the last statement gave {rows} rows"));
    }
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
