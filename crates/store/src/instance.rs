//! What belongs to the instance as a whole: its settings, and requests for a daemon.

use millstream_model::Timestamp;

use crate::batch::Expect;
use crate::statement::statements;
use crate::{Batch, Scope, Store, StoreError};

statements! {
    SETTING = "SELECT value FROM instance WHERE key = $1";
    KEEP_FIRST_SETTING = "
        INSERT INTO instance (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING";
    ASK_DAEMON = "
        INSERT INTO daemon_request (id, kind, body, asked_at) VALUES ($1, $2, $3, $4)";
    OPEN_REQUESTS = "
        SELECT id, kind, body FROM daemon_request
        WHERE answer IS NULL ORDER BY asked_at, id LIMIT $1";
    ANSWER_REQUEST = "
        UPDATE daemon_request SET answer = $2 WHERE id = $1 AND answer IS NULL";
    REQUEST_ANSWER = "SELECT answer FROM daemon_request WHERE id = $1";
    FORGET_REQUESTS = "DELETE FROM daemon_request WHERE asked_at < $1";
}

/// Something that the server wants done outside the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonRequest {
    /// Its id.
    pub id: String,
    /// What is wanted: `scan`.
    pub kind: String,
    /// The details, as JSON.
    pub body: String,
}

/// Stores a setting unless it has a value already.
pub fn keep_first_setting(key: &str, value: &str) -> Batch {
    Batch::new(Scope::Instance).then(&KEEP_FIRST_SETTING, vec![key.into(), value.into()])
}

/// Asks a daemon for something.
pub fn ask_daemon(request: &DaemonRequest, now: Timestamp) -> Batch {
    let params = vec![
        request.id.as_str().into(),
        request.kind.as_str().into(),
        request.body.as_str().into(),
        now.into(),
    ];
    let mut batch = Batch::new(Scope::Instance).then_one(&ASK_DAEMON, params);
    batch.wakes_daemon = true;
    batch
}

/// Answers a request; a second answer changes nothing. Requests asked before `forget` are removed.
pub fn answer_request(id: &str, answer: &str, forget: Timestamp) -> Batch {
    let mut batch = Batch::new(Scope::Instance);
    batch.push(&ANSWER_REQUEST, vec![id.into(), answer.into()], Expect::Any);
    batch.push(&FORGET_REQUESTS, vec![forget.into()], Expect::Any);
    batch
}

impl Store {
    /// The value of a setting.
    pub async fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        let rows = self.read_few(Scope::Instance, &SETTING, vec![key.into()]).await?;
        rows.into_iter().next().map(|mut row| row.text()).transpose()
    }

    /// The oldest `limit` requests that have no answer.
    pub async fn open_requests(&self, limit: u32) -> Result<Vec<DaemonRequest>, StoreError> {
        let rows = self.read_few(Scope::Instance, &OPEN_REQUESTS, vec![limit.into()]).await?;
        rows.into_iter()
            .map(|mut row| {
                Ok(DaemonRequest { id: row.text()?, kind: row.text()?, body: row.text()? })
            })
            .collect()
    }

    /// The answer to a request, once there is one.
    pub async fn request_answer(&self, id: &str) -> Result<Option<String>, StoreError> {
        let rows = self.read_few(Scope::Instance, &REQUEST_ANSWER, vec![id.into()]).await?;
        rows.into_iter().next().map_or(Ok(None), |mut row| row.text_opt())
    }
}
