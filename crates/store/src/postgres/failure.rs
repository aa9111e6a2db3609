//! What an error of the server or of the way to it means for the caller.

use millstream_model::chain;
use millstream_postgres::tls_problem;
use tokio_postgres::error::SqlState;

use crate::StoreError;

/// The code that `millstream_expect` raises: a statement touched a wrong number of rows.
const MISSED_ROWS: &str = "MS001";

/// Keys that a statement draws itself, as the highest number and one. Two batches can draw the
/// same at once; the second then draws again.
const DRAWN_KEYS: [&str; 1] = ["dynamic_partition_by_ordinal"];

/// Which calls may be made again after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// None.
    Never,
    /// Those that only read: the answer was lost, and perhaps the question.
    Reads,
    /// All: the server rolled the transaction back, and says that another try may succeed.
    Always,
}

/// A failed trip.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: StoreError,
    pub(super) repeat: Repeat,
}

impl Failure {
    /// A failure that another try does not mend.
    pub(super) fn final_(error: StoreError) -> Self {
        Self { error, repeat: Repeat::Never }
    }
}

/// What `error`, the answer to `statement`, means.
pub(super) fn of(statement: &'static str, error: &tokio_postgres::Error) -> Failure {
    // Another try meets the same server with the same certificate.
    if let Some(problem) = tls_problem(error) {
        return Failure::final_(StoreError::Tls(problem));
    }
    let message = said(error);
    let Some(answer) = error.as_db_error() else {
        // Closed connections, broken sockets and time-outs: nobody knows what the server did.
        return Failure { error: StoreError::Unavailable(message), repeat: Repeat::Reads };
    };
    let drawn = answer.constraint().is_some_and(|key| DRAWN_KEYS.contains(&key));
    match answer.code() {
        code if code.code() == MISSED_ROWS => Failure::final_(StoreError::Conflict { statement }),
        code if *code == SqlState::UNIQUE_VIOLATION => Failure {
            error: StoreError::Duplicate { statement },
            repeat: if drawn { Repeat::Always } else { Repeat::Never },
        },
        code if *code == SqlState::T_R_SERIALIZATION_FAILURE
            || *code == SqlState::T_R_DEADLOCK_DETECTED =>
        {
            Failure { error: StoreError::Unavailable(message), repeat: Repeat::Always }
        }
        code if is_passing(code) => {
            Failure { error: StoreError::Unavailable(message), repeat: Repeat::Reads }
        }
        _ => Failure::final_(StoreError::Refused { statement, message }),
    }
}

/// Whether the server may answer again after a while: it is starting, stopping, full, out of
/// connections, waiting for a lock for too long, or a standby now.
fn is_passing(code: &SqlState) -> bool {
    const CLASSES: [&str; 4] = ["08", "53", "57", "58"];
    let class = code.code().get(..2).unwrap_or_default();
    CLASSES.contains(&class)
        || *code == SqlState::READ_ONLY_SQL_TRANSACTION
        || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
        || *code == SqlState::LOCK_NOT_AVAILABLE
}

/// What the server said, or the error with its causes.
fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(answer) => format!("{} ({})", answer.message(), answer.code().code()),
        None => chain(error),
    }
}
