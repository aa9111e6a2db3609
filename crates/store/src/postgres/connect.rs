//! Connections: their settings, the pool, and what is asked of the server.

use std::time::Duration;

use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use futures_util::future::BoxFuture;
use millstream_model::chain;
use millstream_postgres::{Address, AddressError};

use super::failure;
use crate::StoreError;

/// How long a call waits for a free connection, and for a new one.
const GET_MAX: Duration = Duration::from_secs(5);

/// What our connections ask of the server.
///
/// What it ends by itself: a statement, a wait for a lock, and a transaction whose client has
/// fallen silent (its locks would hold up everybody else). That it compiles no statement: ours
/// read few rows, and to compile the one over the heads of a long queue took 20 ms to 80 ms where
/// it runs in a quarter of one. And that it goes through an index in its order wherever there is
/// one: most tables are small when statistics are taken, a queue's is empty, and what was planned
/// for that went over all rows when there were many.
pub const POSTGRES_OPTIONS: &str = "-c statement_timeout=30s -c lock_timeout=5s \
                                    -c idle_in_transaction_session_timeout=30s -c jit=off \
                                    -c enable_seqscan=off -c enable_bitmapscan=off";

/// The oldest server that is tested.
const VERSION_MIN: i32 = 15;

/// Where `url` leads, with the settings of our connections.
pub(super) fn address(url: &str) -> Result<Address, StoreError> {
    let mut address = Address::of(url).map_err(|error| match error {
        AddressError::Text(error) => failure::of("connect", &error).error,
        error => StoreError::Tls(chain(&error)),
    })?;
    let config = &mut address.config;
    let options = format!("{} {POSTGRES_OPTIONS}", config.get_options().unwrap_or_default());
    config.options(options.trim());
    if config.get_application_name().is_none() {
        config.application_name("millstream");
    }
    config.connect_timeout(GET_MAX);
    config.keepalives_idle(Duration::from_secs(30));
    config.keepalives_interval(Duration::from_secs(5));
    config.keepalives_retries(3);
    config.tcp_user_timeout(Duration::from_secs(20));
    Ok(address)
}

/// A pool of at most `connections`; none is opened yet.
pub(super) fn pool(address: Address, connections: usize) -> Result<Pool, StoreError> {
    // Fast: a closed connection is noticed without asking the server; the rest shows in use.
    let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(address.config, address.connector, manager_config);
    Pool::builder(manager)
        .max_size(connections.max(1))
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(GET_MAX))
        .create_timeout(Some(GET_MAX))
        .recycle_timeout(Some(GET_MAX))
        .build()
        .map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// A connection of the pool; boxed, so that the pool is compiled here alone.
pub(super) fn get(pool: &Pool) -> BoxFuture<'_, Result<Object, StoreError>> {
    Box::pin(async move {
        pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => failure::of("connect", &error).error,
            PoolError::Timeout(_) => StoreError::Unavailable(format!(
                "no connection was free within {} s; {} are in use",
                GET_MAX.as_secs(),
                pool.status().size
            )),
            error => StoreError::Unavailable(error.to_string()),
        })
    })
}

/// Refuses a server that is too old.
pub(super) async fn check_version(connection: &Object) -> Result<(), StoreError> {
    let failed = |error| failure::of("server_version", &error).error;
    let asked = "SELECT CAST(current_setting('server_version_num') AS INT) / 10000";
    let version: i32 = connection.query_one(asked, &[]).await.map_err(failed)?.get(0);
    if version < VERSION_MIN {
        return Err(StoreError::Refused {
            statement: "connect",
            message: format!("Postgres {VERSION_MIN} or newer is needed, this is {version}"),
        });
    }
    Ok(())
}
