//! A SQL step on a Postgres server.
//!
//! The worker calls it in its own process: the work happens on the server, and only rows pass here.
//!
//! **Invariant.** A future that is dropped, because the step timed out or was canceled, cancels the
//! statement on the server too; without that it would go on there to its end.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use millstream_model::ResourceDef;
use millstream_model::sql_text::{Numbered, is_blank, numbered, words};
use millstream_postgres::{Address, Connector, tls_problem};
use serde_json::Value;
use tokio_postgres::config::Host;
use tokio_postgres::{AsyncMessage, CancelToken, Client, Config, Error, Statement, Transaction};

use crate::quote_identifier;
use crate::sql::postgres_value::{Bound, Cell};
use crate::sql::request::micros;
use crate::sql::rows::RowsWriter;
use crate::sql::{Notices, Session, SqlError, SqlOutcome, SqlRequest};
use crate::tables::make_inputs;

/// How long the server may take to answer a connection, unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How much later than the worker the server gives a statement up.
const SERVER_TIMEOUT_MORE_MS: u64 = 5_000;
/// The longest time that the server takes for a limit.
const SERVER_TIMEOUT_MAX_MS: u64 = i32::MAX as u64;

/// Runs `request` on its Postgres database; its rows are in the file it names when this returns.
///
/// What the server says beside its answers is in `notices`, however the step ends.
///
/// Crash-safe: the server rolls back what was not committed when the connection ends.
pub async fn run_postgres(request: &SqlRequest, notices: &Notices) -> Result<SqlOutcome, SqlError> {
    let started = Instant::now();
    let ResourceDef::Postgres { url, schema } = &request.resource else {
        return Err(SqlError::WrongResource { wanted: "postgres" });
    };
    if request.statements.is_empty() {
        return Err(SqlError::NoStatements);
    }
    let (mut client, mut cancel) = connect(url, &request.session, notices).await?;

    let notes = make_inputs(&mut client, request).await.map_err(Box::new)?;
    let begin = |source| SqlError::Transaction { what: "begin", source };
    let transaction = client
        .build_transaction()
        .read_only(request.read_only)
        .start()
        .await
        .map_err(|error| begin(said(error, "")))?;
    if let Some(schema) = schema {
        enter(&transaction, schema).await?;
    }
    let mut outcome = SqlOutcome { notes, ..SqlOutcome::default() };
    for index in 0..request.statements.len() {
        let since = Instant::now();
        run_statement(&transaction, request, index, &mut outcome).await?;
        outcome.statement_micros.push(micros(since));
    }
    transaction
        .commit()
        .await
        .map_err(|error| SqlError::Transaction { what: "be committed", source: said(error, "") })?;

    cancel.disarm();
    outcome.took_micros = micros(started);
    Ok(outcome)
}

/// A connection of a step's own, which the server knows by the step's name, and what
/// cancels its work there when that is dropped.
pub(crate) async fn connect(
    url: &str,
    session: &Session,
    notices: &Notices,
) -> Result<(Client, CancelOnDrop), SqlError> {
    // The URL may hold a password, so it is never repeated.
    let Address { mut config, connector } = Address::of(url).map_err(|error| SqlError::Open {
        database: "of the resource's URL".to_owned(),
        source: error.into(),
    })?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    config.application_name(session.name());
    if let Some(limit) = session.statement_timeout_ms {
        let options = config.get_options().unwrap_or_default();
        // The worker gives up first; this is for a server that no longer hears of it.
        let limit = limit.saturating_add(SERVER_TIMEOUT_MORE_MS).min(SERVER_TIMEOUT_MAX_MS);
        config.options(format!("{options} -c statement_timeout={limit}"));
    }
    // In a box, because the state of a handshake is large and each caller would carry it.
    let (client, mut connection) = Box::pin(config.connect(connector.clone()))
        .await
        .map_err(|error| SqlError::Open { database: name_of(&config), source: refusal(error) })?;
    // It ends by itself when the client is dropped, and its errors reach the client's calls.
    let notices = notices.clone();
    tokio::spawn(async move {
        while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
            match message {
                Ok(AsyncMessage::Notice(notice)) => notices.add(&notice),
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, "a connection of a SQL step ended");
                    break;
                }
            }
        }
    });
    let cancel = CancelOnDrop(Some((client.cancel_token(), connector)));
    Ok((client, cancel))
}

/// Why a connection was not made.
fn refusal(error: Error) -> Box<dyn std::error::Error + Send + Sync> {
    match tls_problem(&error) {
        Some(problem) => problem.into(),
        None => said(error, ""),
    }
}

fn name_of(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    format!("{} on {host}:{port}", config.get_dbname().unwrap_or("of the user's name"))
}

/// Cancels what runs on the server when a step is given up.
pub(crate) struct CancelOnDrop(Option<(CancelToken, Connector)>);

impl CancelOnDrop {
    /// Nothing runs any more.
    pub(crate) fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let runtime = tokio::runtime::Handle::try_current();
        if let (Some((token, connector)), Ok(runtime)) = (self.0.take(), runtime) {
            runtime.spawn(async move {
                if let Err(error) = token.cancel_query(connector).await {
                    tracing::warn!(%error, "a statement could not be canceled on its server");
                }
            });
        }
    }
}

/// Puts `schema` first in the search path of `transaction`.
async fn enter(transaction: &Transaction<'_>, schema: &str) -> Result<(), SqlError> {
    let failed = |error| SqlError::Transaction { what: "begin", source: said(error, "") };
    let text = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)";
    let row = transaction.query_one(text, &[&schema]).await.map_err(failed)?;
    if !row.get::<_, bool>(0) {
        return Err(SqlError::SchemaMissing { schema: schema.to_owned() });
    }
    let quoted = quote_identifier(schema).map_err(SqlError::ReadName)?;
    let path = format!("{quoted}, public");
    let text = "SELECT pg_catalog.set_config('search_path', $1, true)";
    transaction.query_one(text, &[&path]).await.map_err(failed)?;
    Ok(())
}

async fn run_statement(
    transaction: &Transaction<'_>,
    request: &SqlRequest,
    index: usize,
    outcome: &mut SqlOutcome,
) -> Result<(), SqlError> {
    let number = index + 1;
    let text = request.statements.get(index).map_or("", String::as_str);
    let numbered = checked(number, text)?;
    let values = numbered
        .names
        .iter()
        .map(|name| {
            request
                .params
                .get(name)
                .map(Bound)
                .ok_or_else(|| SqlError::unknown_parameter(number, name, request.params.keys()))
        })
        .collect::<Result<Vec<Bound<'_>>, SqlError>>()?;

    let failed = |error| statement_error(number, &numbered, error);
    let statement = transaction.prepare(&numbered.text).await.map_err(failed)?;
    let is_last = number == request.statements.len();
    let affected = match request.rows.as_deref().filter(|_| is_last) {
        None => transaction.execute_raw(&statement, &values).await.map_err(failed)?,
        Some(path) => {
            let columns = columns(&statement);
            if columns.is_empty() {
                return Err(SqlError::NoRows { number });
            }
            let mut writer = RowsWriter::create(path, number, &columns)?;
            let rows = transaction.query_raw(&statement, &values).await.map_err(failed)?;
            let mut rows = std::pin::pin!(rows);
            while let Some(row) = rows.try_next().await.map_err(failed)? {
                writer.row(&cells(number, &columns, &row)?)?;
            }
            let (count, bytes) = writer.finish()?;
            outcome.row_count = Some(count);
            outcome.rows_bytes = bytes;
            outcome.columns = columns;
            rows.rows_affected().unwrap_or(0)
        }
    };
    // The server counts selected rows as affected, which is not what the word says elsewhere.
    outcome.rows_affected.push(if is_query(text) { 0 } else { affected });
    Ok(())
}

/// `text` with numbered placeholders, if it is one statement that a step may run.
fn checked(number: usize, text: &str) -> Result<Numbered, SqlError> {
    if is_blank(text) {
        return Err(SqlError::Empty { number });
    }
    let numbered = numbered(text);
    if numbered.several {
        return Err(SqlError::Several { number });
    }
    if let Some(found) = numbered.nameless {
        return Err(SqlError::NamelessParameter { number, found });
    }
    if ends_transaction(text) {
        let reason = "a step's statements are one transaction already".to_owned();
        return Err(SqlError::Refused { number, reason });
    }
    Ok(numbered)
}

fn ends_transaction(text: &str) -> bool {
    let [first, second] = words(text);
    match first.as_str() {
        "BEGIN" | "START" | "COMMIT" | "END" | "ABORT" => true,
        // To a savepoint is within the transaction.
        "ROLLBACK" => second != "TO",
        "PREPARE" => second == "TRANSACTION",
        _ => false,
    }
}

fn is_query(text: &str) -> bool {
    let [first, _] = words(text);
    matches!(first.as_str(), "SELECT" | "VALUES" | "TABLE" | "SHOW" | "EXPLAIN")
}

fn columns(statement: &Statement) -> Vec<String> {
    statement.columns().iter().map(|column| column.name().to_owned()).collect()
}

fn cells(
    number: usize,
    columns: &[String],
    row: &tokio_postgres::Row,
) -> Result<Vec<Value>, SqlError> {
    let cell = |(index, column): (usize, &String)| match row.try_get::<_, Cell>(index) {
        Ok(Cell(value)) => Ok(value),
        Err(error) => {
            let what = error.into_source().map_or_else(|| "nothing".into(), |it| it.to_string());
            Err(SqlError::Value { number, column: column.clone(), what })
        }
    };
    columns.iter().enumerate().map(cell).collect()
}

fn statement_error(number: usize, numbered: &Numbered, error: Error) -> SqlError {
    let parameter = error
        .as_db_error()
        .and_then(|error| error.where_())
        .and_then(|place| place.split_once("parameter $"))
        .map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect::<String>())
        .and_then(|digits| digits.parse::<usize>().ok()?.checked_sub(1));
    if let Some(name) = parameter.and_then(|index| numbered.names.get(index)) {
        let problem = said(error, &numbered.text).to_string();
        return SqlError::Parameter { number, name: name.clone(), problem };
    }
    SqlError::Statement { number, source: said(error, &numbered.text) }
}

/// The server's own words for `error`, with its hint and the line of `text` it is about.
pub(crate) fn said(error: Error, text: &str) -> Box<dyn std::error::Error + Send + Sync> {
    let Some(server) = error.as_db_error() else { return error.into() };
    let mut message = server.message().to_owned();
    if let Some(tokio_postgres::error::ErrorPosition::Original(position)) = server.position() {
        let before = text.chars().take(*position as usize);
        let line = before.filter(|c| *c == '\n').count() + 1;
        message.push_str(" (line ");
        message.push_str(&line.to_string());
        message.push(')');
    }
    message.push_str(" (SQLSTATE ");
    message.push_str(server.code().code());
    message.push(')');
    for more in [server.detail(), server.hint()].into_iter().flatten() {
        message.push_str("; ");
        message.push_str(more);
    }
    message.into()
}
