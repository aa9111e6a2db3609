//! The one connection that writes: a batch alone on its caller's thread, or many a commit, on a
//! thread that waits for them.
//!
//! While nobody else writes, the way to another thread and back would take longer than the commit
//! itself, so the caller makes it. As soon as batches wait, they are what comes next.
//!
//! The caller's thread is one of a runtime's, and what else that would do goes to another thread
//! meanwhile, which costs both of them more than a quick commit does. So it stays where the commit
//! is small and the one before was quick, and lets others go first after it. A disk that becomes
//! slow holds it up for one commit, and now and then SQLite moves its log into the file within one.
//!
//! A large batch always goes to the thread: beside it, its caller makes the next one.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;

use super::execute::{Prepared, unavailable};
use crate::batch::Expect;
use crate::{Applied, Batch, StoreError, Value};

/// Batches waiting for the writer; more than these and the sender waits.
const WAITING_MAX: usize = 1_024;

/// Batches in one commit, so that none waits long for its answer.
const GROUP_MAX: usize = 256;

/// The longest that a commit takes which a thread of a runtime may wait for beside its other work.
const QUICK_MAX: Duration = Duration::from_millis(2);

/// The most rows that such a commit changes, and the most bytes that they hold.
const SMALL_MAX: (u64, usize) = (64, 1 << 16);

/// What became of a batch.
pub(super) type Answer = Result<Applied, StoreError>;

struct Order {
    batch: Batch,
    answer: oneshot::Sender<Answer>,
}

/// The way to the connection that writes; its thread ends when this is dropped.
pub(super) struct Writer {
    shared: Arc<Shared>,
    orders: Option<mpsc::SyncSender<Order>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    connection: Mutex<Connection>,
    /// Batches on their way to the thread or with it.
    waiting: AtomicUsize,
    pace: Pace,
}

/// How long the last commit took that a caller made, in microseconds; unknown is for ever.
struct Pace(AtomicU64);

impl Pace {
    fn unknown() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }

    fn note(&self, took: Duration) {
        self.0.store(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether a thread of a runtime may wait for a batch.
    fn is_quick(&self, weight: Weight) -> bool {
        let last = Duration::from_micros(self.0.load(Ordering::Relaxed));
        last <= QUICK_MAX && weight == Weight::Small
    }
}

/// How much a batch writes, as far as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// All its statements say how many rows they change, and these are few.
    Small,
    /// They do not all say it.
    Unknown,
    /// So much that the way to another thread and back does not matter beside it.
    Large,
}

fn weight(batch: &Batch) -> Weight {
    let (rows_max, bytes_max) = SMALL_MAX;
    let (mut rows, mut bytes, mut says_all) = (0, 0, true);
    for step in &batch.steps {
        match step.expect {
            Expect::Rows(expected) => rows += u64::from(expected).max(1),
            Expect::Any => says_all = false,
        }
        let texts =
            step.params.iter().map(|it| if let Value::Text(it) = it { it.len() } else { 0 });
        bytes += texts.sum::<usize>();
    }
    match (rows <= rows_max && bytes <= bytes_max, says_all) {
        (true, true) => Weight::Small,
        (true, false) => Weight::Unknown,
        (false, _) => Weight::Large,
    }
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Result<Self, StoreError> {
        let (sender, orders) = mpsc::sync_channel(WAITING_MAX);
        let shared = Arc::new(Shared {
            connection: Mutex::new(connection),
            waiting: AtomicUsize::new(0),
            pace: Pace::unknown(),
        });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || serve(&of_thread, &orders))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { shared, orders: Some(sender), thread: Some(thread) })
    }

    pub(super) async fn apply(&self, batch: Batch) -> Answer {
        if let Some((answer, was_quick)) = self.shared.commit_at_once(&batch) {
            if was_quick {
                tokio::task::yield_now().await;
            }
            return answer;
        }
        self.shared.waiting.fetch_add(1, Ordering::AcqRel);
        let (answer, outcome) = oneshot::channel();
        let sent = self.send(Order { batch, answer }).await;
        if sent.is_err() {
            self.shared.waiting.fetch_sub(1, Ordering::AcqRel);
        }
        sent?;
        outcome.await.map_err(|_| stopped())?
    }

    /// As [`Writer::apply`] for each of `batches`, in as few commits as hold them.
    pub(super) async fn apply_each(&self, batches: Vec<Batch>) -> Vec<Answer> {
        if let Some(connection) = self.shared.at_once() {
            return tokio::task::block_in_place(|| commit_all(&connection, &batches));
        }
        let mut sent = Vec::with_capacity(batches.len());
        for batch in batches {
            self.shared.waiting.fetch_add(1, Ordering::AcqRel);
            let (answer, outcome) = oneshot::channel();
            let order = self.send(Order { batch, answer }).await;
            if order.is_err() {
                self.shared.waiting.fetch_sub(1, Ordering::AcqRel);
            }
            sent.push(order.map(|()| outcome));
        }
        let mut answers = Vec::with_capacity(sent.len());
        for outcome in sent {
            answers.push(match outcome {
                Ok(outcome) => outcome.await.unwrap_or_else(|_| Err(stopped())),
                Err(error) => Err(error),
            });
        }
        answers
    }

    async fn send(&self, order: Order) -> Result<(), StoreError> {
        let orders = self.orders.as_ref().ok_or_else(stopped)?;
        match orders.try_send(order) {
            Ok(()) => Ok(()),
            Err(mpsc::TrySendError::Disconnected(_)) => Err(stopped()),
            Err(mpsc::TrySendError::Full(order)) => {
                // The queue is full: wait for a place off the async threads.
                let orders = orders.clone();
                let sent = tokio::task::spawn_blocking(move || orders.send(order)).await;
                sent.map_err(|_| stopped())?.map_err(|_| stopped())
            }
        }
    }
}

impl Shared {
    /// Commits `batch` on this thread if nobody else writes; says too whether all that the thread
    /// would do else has waited for that.
    fn commit_at_once(&self, batch: &Batch) -> Option<(Answer, bool)> {
        let weight = weight(batch);
        if weight == Weight::Large {
            return None;
        }
        let connection = self.at_once()?;
        let began = Instant::now();
        let commit = || alone(&connection, batch);
        let is_quick = self.pace.is_quick(weight);
        let answer = if is_quick { commit() } else { tokio::task::block_in_place(commit) };
        self.pace.note(began.elapsed());
        Some((answer, is_quick))
    }

    /// The connection, when nobody uses it and nobody waits for it, and when this thread may
    /// block: that of a runtime with several.
    fn at_once(&self) -> Option<MutexGuard<'_, Connection>> {
        let may_block =
            Handle::try_current().is_ok_and(|it| it.runtime_flavor() == RuntimeFlavor::MultiThread);
        if !may_block || self.waiting.load(Ordering::Acquire) > 0 {
            return None;
        }
        match self.connection.try_lock() {
            Ok(connection) => Some(connection),
            // What a panic has left open, the next batch's failure rolls back.
            Err(std::sync::TryLockError::Poisoned(connection)) => Some(connection.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the writer has stopped".to_owned())
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

fn serve(shared: &Shared, orders: &mpsc::Receiver<Order>) {
    while let Ok(first) = orders.recv() {
        let connection = shared.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut group = vec![first];
        group.extend(orders.try_iter().take(GROUP_MAX - 1));
        let count = group.len();
        let (batches, answers): (Vec<Batch>, Vec<_>) =
            group.into_iter().map(|order| (order.batch, order.answer)).unzip();
        let outcomes = commit(&connection, &batches.iter().collect::<Vec<_>>());
        answers.into_iter().zip(outcomes).for_each(|(answer, outcome)| tell(answer, outcome));
        shared.waiting.fetch_sub(count, Ordering::AcqRel);
    }
}

/// Runs one batch in a transaction of its own.
fn alone(connection: &Connection, batch: &Batch) -> Answer {
    let outcome = control(connection, "BEGIN IMMEDIATE")
        .and_then(|()| Prepared::on(connection).batch(batch))
        .and_then(|applied| control(connection, "COMMIT").map(|()| applied));
    if outcome.is_err() {
        // Nothing can be done about a failing rollback: the next BEGIN will say so to its caller.
        drop(control(connection, "ROLLBACK"));
    }
    outcome
}

/// Commits `batches`, in as few transactions as hold them: what became of each, in their order.
pub(super) fn commit_all(connection: &Connection, batches: &[Batch]) -> Vec<Answer> {
    let batches: Vec<&Batch> = batches.iter().collect();
    batches.chunks(GROUP_MAX).flat_map(|group| commit(connection, group)).collect()
}

/// Commits a group in one transaction. A bad batch harms no other; when the commit itself fails,
/// nothing of the group is stored and all are told.
fn commit(connection: &Connection, group: &[&Batch]) -> Vec<Answer> {
    let outcomes = control(connection, "BEGIN IMMEDIATE")
        .and_then(|()| in_transaction(connection, group))
        .and_then(|outcomes| control(connection, "COMMIT").map(|()| outcomes));
    outcomes.unwrap_or_else(|error| {
        tracing::error!(%error, "a commit failed");
        // Nothing can be done about a failing rollback: the next BEGIN will say so to its caller.
        drop(control(connection, "ROLLBACK"));
        let error = error.to_string();
        group.iter().map(|_| Err(StoreError::Unavailable(error.clone()))).collect()
    })
}

/// Runs the batches of a group: as they are when all can be stored, which is nearly always so, and
/// otherwise each in a savepoint, which costs a fifth more.
fn in_transaction(connection: &Connection, group: &[&Batch]) -> Result<Vec<Answer>, StoreError> {
    let mut prepared = Prepared::on(connection);
    let all: Result<Vec<Applied>, StoreError> =
        group.iter().map(|batch| prepared.batch(batch)).collect();
    drop(prepared);
    if let Ok(all) = all {
        return Ok(all.into_iter().map(Ok).collect());
    }
    control(connection, "ROLLBACK")?;
    control(connection, "BEGIN IMMEDIATE")?;
    Ok(group.iter().map(|batch| in_savepoint(connection, batch)).collect())
}

fn in_savepoint(connection: &Connection, batch: &Batch) -> Answer {
    let control = |text| control(connection, text);
    control("SAVEPOINT batch")?;
    match Prepared::on(connection).batch(batch) {
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
    let mut statement = connection.prepare_cached(text).map_err(unavailable)?;
    statement.execute([]).map(|_| ()).map_err(unavailable)
}

fn tell(answer: oneshot::Sender<Answer>, outcome: Answer) {
    if answer.send(outcome).is_err() {
        tracing::debug!("nobody waits for a batch any more");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leases;
    use crate::sqlite::open;

    #[test]
    fn a_bad_batch_of_a_group_is_told_so_and_the_others_are_stored() {
        let mut connection = open::memory().unwrap();
        open::migrate(&mut connection, &|_| ()).unwrap();
        let batches = [
            leases::create("a", "me"),
            leases::raise("nobody's", "me", 7),
            leases::create("b", "me"),
        ];
        let told = commit(&connection, &batches.iter().collect::<Vec<_>>());
        assert!(told[0].is_ok() && told[2].is_ok(), "{told:?}");
        assert!(told[1].as_ref().is_err_and(StoreError::is_conflict), "{told:?}");
        let stored: Vec<String> = connection
            .prepare("SELECT name FROM lease ORDER BY name")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(stored, ["a", "b"]);
        assert!(connection.is_autocommit());
    }

    #[test]
    fn a_thread_waits_for_small_batches_alone_and_only_while_commits_are_quick() {
        static ANY: crate::Sql = crate::Sql { name: "ANY", text: "DELETE FROM lease" };
        let of = |count: usize| {
            (0..count).fold(Batch::new(crate::Scope::Instance), |batch, _| {
                batch.then_one(&ANY, vec!["x".into()])
            })
        };
        let most = usize::try_from(SMALL_MAX.0).unwrap();
        let pace = Pace::unknown();
        let is_quick = |batch| pace.is_quick(weight(&batch));
        assert!(!is_quick(of(1)), "nothing is known of the disk yet");
        pace.note(QUICK_MAX);
        assert!(is_quick(of(most)) && !is_quick(of(most + 1)));
        assert!(!is_quick(of(1).then(&ANY, Vec::new())), "it may be any number of rows");
        let long = "x".repeat(SMALL_MAX.1 + 1);
        assert!(!is_quick(of(1).then_one(&ANY, vec![long.into()])));
        pace.note(QUICK_MAX * 2);
        assert!(!is_quick(of(1)));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_large_batch_leaves_its_callers_thread() {
        static ANY: crate::Sql = crate::Sql { name: "ANY", text: "DELETE FROM lease" };
        let folder = tempfile::tempdir().unwrap();
        let mut connection = open::writer(&folder.path().join("some.db")).unwrap();
        open::migrate(&mut connection, &|_| ()).unwrap();
        let writer = Writer::start(connection).unwrap();
        let noted = || writer.shared.pace.0.load(Ordering::Relaxed);
        let long = "x".repeat(SMALL_MAX.1 + 1);
        let large = leases::create(&long, "me");
        writer.apply(large.then(&ANY, Vec::new())).await.unwrap();
        assert_eq!(noted(), u64::MAX, "no caller has made a commit");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_commit_of_a_caller_says_how_quick_the_disk_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = open::writer(&folder.path().join("some.db")).unwrap();
        open::migrate(&mut connection, &|_| ()).unwrap();
        let writer = Writer::start(connection).unwrap();
        let noted = || writer.shared.pace.0.load(Ordering::Relaxed);
        assert_eq!(noted(), u64::MAX, "nothing is known of the disk yet");
        writer.apply(leases::create("a", "me")).await.unwrap();
        assert_ne!(noted(), u64::MAX);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn quick_commits_in_a_row_let_others_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = open::writer(&folder.path().join("some.db")).unwrap();
        open::migrate(&mut connection, &|_| ()).unwrap();
        let writer = Arc::new(Writer::start(connection).unwrap());
        let (tell, told) = oneshot::channel();
        let committing = tokio::spawn(async move {
            let mut told = told;
            for number in 0..1_000 {
                // However slow this machine is: what matters is what comes after a quick one.
                writer.shared.pace.note(Duration::ZERO);
                writer.apply(leases::create(&format!("l{number}"), "me")).await.unwrap();
                if told.try_recv().is_ok() {
                    return number;
                }
            }
            1_000
        });
        let telling = tokio::spawn(async move { tell.send(()).unwrap() });
        telling.await.unwrap();
        assert!(committing.await.unwrap() < 1_000, "the other task was not looked at");
    }

    /// What a log of the database has grown by: each commit adds each page that it changes.
    async fn grown_by(path: &std::path::Path, write: impl AsyncFnOnce()) -> u64 {
        let log = path.with_extension("db-wal");
        let size = || std::fs::metadata(&log).map_or(0, |log| log.len());
        let before = size();
        write().await;
        size() - before
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn batches_that_are_applied_together_are_one_commit_and_a_bad_one_harms_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.db");
        let mut connection = open::writer(&path).unwrap();
        open::migrate(&mut connection, &|_| ()).unwrap();
        let writer = Writer::start(connection).unwrap();
        writer.apply(leases::create("first", "me")).await.unwrap();
        let one = grown_by(&path, async || {
            writer.apply(leases::create("one", "me")).await.unwrap();
        });
        let one = one.await;
        let many = grown_by(&path, async || {
            let mut batches: Vec<Batch> =
                (0..40).map(|number| leases::create(&format!("l{number}"), "me")).collect();
            batches.insert(7, leases::raise("nobody's", "me", 7));
            let told = writer.apply_each(batches).await;
            let bad: Vec<usize> = (0..41).filter(|number| told[*number].is_err()).collect();
            assert_eq!(bad, [7], "{told:?}");
        });
        assert!(many.await < 3 * one, "40 batches are few commits");
    }
}
