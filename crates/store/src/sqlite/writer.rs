//! The one thread that writes: many batches a commit, each in a savepoint of its own.

use std::sync::mpsc;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::execute;
use crate::{Applied, Batch, StoreError};

/// Batches waiting for the writer; more than these and the sender waits.
const WAITING_MAX: usize = 1_024;

/// Batches in one commit, so that none waits long for its answer.
const GROUP_MAX: usize = 256;

type Answer = Result<Applied, StoreError>;

struct Order {
    batch: Batch,
    answer: oneshot::Sender<Answer>,
}

/// The way to the thread that writes; it ends when this is dropped.
pub(super) struct Writer {
    orders: Option<mpsc::SyncSender<Order>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Result<Self, StoreError> {
        let (sender, orders) = mpsc::sync_channel(WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || serve(&connection, &orders))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { orders: Some(sender), thread: Some(thread) })
    }

    pub(super) async fn apply(&self, batch: Batch) -> Answer {
        let (answer, outcome) = oneshot::channel();
        let stopped = || StoreError::Unavailable("the writer has stopped".to_owned());
        let orders = self.orders.as_ref().ok_or_else(stopped)?;
        match orders.try_send(Order { batch, answer }) {
            Ok(()) => {}
            Err(mpsc::TrySendError::Disconnected(_)) => return Err(stopped()),
            Err(mpsc::TrySendError::Full(order)) => {
                // The queue is full: wait for a place off the async threads.
                let orders = orders.clone();
                let sent = tokio::task::spawn_blocking(move || orders.send(order)).await;
                sent.map_err(|_| stopped())?.map_err(|_| stopped())?;
            }
        }
        outcome.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes the database has panicked");
        }
    }
}

fn serve(connection: &Connection, orders: &mpsc::Receiver<Order>) {
    while let Ok(first) = orders.recv() {
        let mut group = vec![first];
        group.extend(orders.try_iter().take(GROUP_MAX - 1));
        commit(connection, group);
    }
}

/// Runs a group in one transaction. A bad batch is rolled back to its savepoint and harms no
/// other; when the commit itself fails, nothing of the group is stored and all are told.
fn commit(connection: &Connection, group: Vec<Order>) {
    if let Err(error) = control(connection, "BEGIN IMMEDIATE") {
        let error = error.to_string();
        for order in group {
            tell(order.answer, Err(StoreError::Unavailable(error.clone())));
        }
        return;
    }
    let outcomes: Vec<(oneshot::Sender<Answer>, Answer)> = group
        .into_iter()
        .map(|order| (order.answer, in_savepoint(connection, &order.batch)))
        .collect();
    let committed = control(connection, "COMMIT");
    if let Err(error) = &committed {
        tracing::error!(%error, "a commit failed");
        // Nothing can be done about a failing rollback: the next BEGIN will say so to its caller.
        drop(control(connection, "ROLLBACK"));
    }
    for (answer, outcome) in outcomes {
        let outcome = match &committed {
            Ok(()) => outcome,
            Err(error) => Err(StoreError::Unavailable(error.to_string())),
        };
        tell(answer, outcome);
    }
}

fn in_savepoint(connection: &Connection, batch: &Batch) -> Answer {
    let control = |text| control(connection, text);
    control("SAVEPOINT batch")?;
    match execute::batch(connection, batch) {
        Ok(applied) => control("RELEASE batch").map(|()| applied),
        Err(error) => {
            control("ROLLBACK TO batch")?;
            control("RELEASE batch")?;
            Err(error)
        }
    }
}

/// Runs a statement that only moves the transaction; prepared once, because each commit has some.
fn control(connection: &Connection, text: &str) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(text).map_err(execute::unavailable)?;
    statement.execute([]).map(|_| ()).map_err(execute::unavailable)
}

fn tell(answer: oneshot::Sender<Answer>, outcome: Answer) {
    if answer.send(outcome).is_err() {
        tracing::debug!("nobody waits for a batch any more");
    }
}
