//! Telling other processes that something was committed, and hearing it from them.
//!
//! On a connection of its own and after the commit: a NOTIFY inside the writing transaction makes
//! the commits of all writers wait for one lock. It only says "look now": what was missed while
//! the connection was away is made up for by one look after it is back.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use deadpool_postgres::Pool;
use futures_util::future::BoxFuture;
use millstream_postgres::{Address, TlsStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_postgres::{AsyncMessage, Client, Connection, Error, Socket};

use super::{connect, failure};
use crate::StoreError;
use crate::changes::Changes;

/// Between two announcements of this process: at most 20 a second.
const PAUSE: Duration = Duration::from_millis(50);

/// Between two attempts to connect: the first wait, which doubles, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

const LISTEN: &str = "LISTEN millstream_changes";
const NOTIFY: &str = "NOTIFY millstream_changes";

/// The way to other processes; dropping it ends the following.
pub(super) struct Announcer {
    wanted: Arc<Notify>,
    _following: JoinSet<()>,
}

impl Announcer {
    /// Starts to follow; `changes` is counted up for every announcement of another process.
    pub(super) fn start(address: Address, changes: Changes) -> Self {
        let wanted = Arc::new(Notify::new());
        let mut following = JoinSet::new();
        following.spawn(follow(address, Arc::clone(&wanted), changes));
        Self { wanted, _following: following }
    }

    /// Tells the others soon; many calls within a pause are one announcement.
    pub(super) fn announce(&self) {
        self.wanted.notify_one();
    }
}

/// Tells the others at once, over a connection of `pool`: what waits for the pause would be lost
/// with the process.
pub(super) fn now(pool: &Pool) -> BoxFuture<'_, Result<(), StoreError>> {
    Box::pin(async move {
        let told = connect::get(pool).await?.batch_execute(NOTIFY).await;
        told.map_err(|error| failure::of("NOTIFY", &error).error)
    })
}

async fn follow(address: Address, wanted: Arc<Notify>, changes: Changes) {
    let mut wait = WAITS.0;
    loop {
        let ended = match address.config.connect(address.connector.clone()).await {
            Ok((client, connection)) => {
                wait = WAITS.0;
                session(&client, connection, &wanted, &changes).await
            }
            Err(error) => error.to_string(),
        };
        tracing::warn!(reason = ended, "the connection for announcements is lost; it is made anew");
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(WAITS.1);
    }
}

/// Announces and listens until the connection ends; returns why it did.
async fn session(
    client: &Client,
    connection: Connection<Socket, TlsStream>,
    wanted: &Notify,
    changes: &Changes,
) -> String {
    let own = AtomicI32::new(0);
    tokio::select! {
        reason = listen(connection, &own, changes) => reason,
        announced = announce(client, &own, wanted, changes) => match announced {
            Ok(never) => match never {},
            Err(error) => error.to_string(),
        },
    }
}

async fn listen(
    mut connection: Connection<Socket, TlsStream>,
    own: &AtomicI32,
    changes: &Changes,
) -> String {
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            // What this process commits it knows without being told.
            Some(Ok(AsyncMessage::Notification(heard)))
                if heard.process_id() == own.load(Ordering::Relaxed) => {}
            Some(Ok(AsyncMessage::Notification(_))) => {
                changes.heard();
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return error.to_string(),
            None => return "the server closed it".to_owned(),
        }
    }
}

async fn announce(
    client: &Client,
    own: &AtomicI32,
    wanted: &Notify,
    changes: &Changes,
) -> Result<std::convert::Infallible, Error> {
    let backend: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
    own.store(backend, Ordering::Relaxed);
    client.batch_execute(LISTEN).await?;
    // Both sides may have missed something while there was no connection.
    changes.heard();
    wanted.notify_one();
    loop {
        wanted.notified().await;
        client.batch_execute(NOTIFY).await?;
        tokio::time::sleep(PAUSE).await;
    }
}
