//! One transaction in one trip: everything is sent, then the answers are read.
//!
//! The driver sends a request when its future is first polled. All of them are polled once, in
//! order and without a pause, so they travel together, and a caller that goes away in the middle
//! leaves a whole transaction behind and never a half one.
//!
//! **Invariant.** COMMIT is only sent when every statement before it was.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use deadpool_postgres::Object;
use futures_util::TryStreamExt as _;
use tokio_postgres::{Error, Row as ServerRow, Statement};

use super::failure::{self, Failure, Repeat};
use super::text::Texts;
use super::value;
use crate::batch::{Expect, Step};
use crate::{Row, Scope, StoreError, Value};

/// Puts the transaction into a role, and names the tenants that its rows may be of.
const ENTER: &str =
    "SELECT set_config('role', $1, TRUE), set_config('millstream.tenants', $2, TRUE)";

/// Runs `steps` as one transaction over the rows that `scope` names; returns the rows of each.
pub(super) async fn make(
    connection: &Object,
    texts: &Texts,
    scope: &Scope,
    steps: &[Step],
) -> Result<Vec<Vec<Row>>, Failure> {
    let enter = match role(scope) {
        None => None,
        Some(params) => Some((prepare(connection, "enter", ENTER).await?, params)),
    };
    let mut statements = Vec::with_capacity(steps.len());
    for step in steps {
        let statement = prepare(connection, step.sql.name, &texts.of(step)).await?;
        value::check(step.sql, &step.params, statement.params()).map_err(Failure::final_)?;
        statements.push(statement);
    }

    let mut sent = vec![send("begin", control(connection, "BEGIN")).await];
    if let Some((statement, params)) = &enter {
        sent.push(send("enter", query(connection, statement, params)).await);
    }
    let before_steps = sent.len();
    for (step, statement) in steps.iter().zip(&statements) {
        sent.push(send(step.sql.name, query(connection, statement, &step.params)).await);
    }
    // What could not even be sent is missing in the transaction, which must then not be committed.
    let all_sent = sent.iter().all(|request| !matches!(request.answered, Some(Err(_))));
    let end = if all_sent { "COMMIT" } else { "ROLLBACK" };
    let end = send("commit", control(connection, end)).await;

    let mut answers = Vec::with_capacity(sent.len());
    for request in sent {
        let name = request.name;
        answers.push(request.answer().await.map_err(|error| failure::of(name, &error))?);
    }
    // Whether the statements held is read from them: after one that failed COMMIT rolls back and
    // still answers well. Here all held, so only the commit itself can fail.
    end.answer().await.map_err(|error| lost_commit(&error))?;

    let own = answers.into_iter().skip(before_steps);
    steps.iter().zip(own).map(|(step, rows)| rows_of(step, &rows)).collect()
}

/// The parameters of [`ENTER`]; the tables of the instance are the login role's.
fn role(scope: &Scope) -> Option<[Value; 2]> {
    match scope {
        Scope::Tenants(tenants) => {
            // A tenant's id holds no comma.
            let ids: Vec<String> = tenants.iter().map(ToString::to_string).collect();
            Some(["millstream_tenant".into(), ids.join(",").into()])
        }
        Scope::Daemon => Some(["millstream_daemon".into(), "".into()]),
        Scope::Instance => None,
    }
}

async fn prepare(
    connection: &Object,
    name: &'static str,
    text: &str,
) -> Result<Statement, Failure> {
    connection.prepare_cached(text).await.map_err(|error| failure::of(name, &error))
}

type Answer = Result<Vec<ServerRow>, Error>;
type Answering<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// A request that is on its way.
struct Sent<'a> {
    name: &'static str,
    answered: Option<Answer>,
    answering: Answering<'a>,
}

impl Sent<'_> {
    async fn answer(self) -> Answer {
        match self.answered {
            Some(answer) => answer,
            None => self.answering.await,
        }
    }
}

/// Polls once: the request goes out, or fails without having been sent.
async fn send<'a>(name: &'static str, mut answering: Answering<'a>) -> Sent<'a> {
    let answered = poll_fn(|context| {
        Poll::Ready(match answering.as_mut().poll(context) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        })
    })
    .await;
    Sent { name, answered, answering }
}

fn control<'a>(connection: &'a Object, text: &'static str) -> Answering<'a> {
    Box::pin(async move { connection.batch_execute(text).await.map(|()| Vec::new()) })
}

fn query<'a>(
    connection: &'a Object,
    statement: &'a Statement,
    params: &'a [Value],
) -> Answering<'a> {
    Box::pin(
        async move { connection.query_raw(statement, params.iter()).await?.try_collect().await },
    )
}

fn lost_commit(error: &Error) -> Failure {
    let failure = failure::of("commit", error);
    let StoreError::Unavailable(reason) = failure.error else { return failure };
    let reason = format!("{reason}; whether the last batch is stored is not known");
    // A serialization failure is an answer, after which nothing is stored; silence is none.
    let repeat = if failure.repeat == Repeat::Always { Repeat::Always } else { Repeat::Reads };
    Failure { error: StoreError::Unavailable(reason), repeat }
}

fn rows_of(step: &Step, rows: &[ServerRow]) -> Result<Vec<Row>, Failure> {
    // A counted statement's first column is the count; with no row of its own it has one of NULLs.
    let (first, rows) = match step.expect {
        Expect::Any => (0, rows),
        Expect::Rows(0) => (0, &[][..]),
        Expect::Rows(_) if rows.first().is_some_and(|row| row.len() == 1) => (0, &[][..]),
        Expect::Rows(_) => (1, rows),
    };
    rows.iter().map(|row| value::row(step.sql, row, first).map_err(Failure::final_)).collect()
}
