//! The server database.

use tokio::sync::watch;

use crate::{Applied, Batch, Row, SchemaState, Scope, Sql, StoreError, Value};

/// A Postgres database.
pub struct Postgres {}

impl Postgres {
    pub(crate) async fn connect(_url: &str, _connections: usize) -> Result<Self, StoreError> {
        Err(StoreError::Unavailable("not built".to_owned()))
    }
    pub(crate) fn follow_notifications(&self, _changes: watch::Sender<i64>) {}
    pub(crate) async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        Ok(SchemaState::Current)
    }
    pub(crate) async fn migrate(&self) -> Result<u32, StoreError> {
        Ok(0)
    }
    pub(crate) async fn apply(&self, _batch: Batch) -> Result<Applied, StoreError> {
        Ok(Applied::default())
    }
    pub(crate) async fn read(
        &self,
        _scope: Scope,
        _sql: &'static Sql,
        _params: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        Ok(Vec::new())
    }
    pub(crate) async fn prepare_all(&self) -> Result<usize, StoreError> {
        Ok(0)
    }
}
