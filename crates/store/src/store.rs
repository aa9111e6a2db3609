//! The one door to the database.

use std::path::Path;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use millstream_model::RunId;
use tokio::sync::watch;

use crate::changes::Changes;
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::{Applied, Batch, Row, RunWatch, SchemaState, Scope, Sql, StoreError, Value};

/// Batches of one caller's that are on their way to a server at the same time; each has a
/// connection.
const APPLIED_AT_ONCE: usize = 4;

/// The database of an instance: an embedded SQLite file, or a Postgres server.
///
/// Clones share the connections.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
    changes: Changes,
    #[cfg(feature = "testing")]
    pub(crate) interposer: Option<Arc<dyn crate::testing::Interposer>>,
    #[cfg(debug_assertions)]
    crash: Option<crate::CrashPoint>,
}

/// Which database it is.
pub enum Database {
    /// A file that this process owns.
    Sqlite(Sqlite),
    /// A server.
    Postgres(Postgres),
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("database", &self.database_name()).finish()
    }
}

impl Store {
    fn new(database: Database) -> Self {
        Self {
            database: Arc::new(database),
            changes: Changes::new(),
            #[cfg(feature = "testing")]
            interposer: None,
            #[cfg(debug_assertions)]
            crash: None,
        }
    }

    /// The same store with a crash on purpose.
    #[cfg(debug_assertions)]
    #[must_use]
    pub fn crashing_at(self, crash: Option<crate::CrashPoint>) -> Self {
        Self { crash, ..self }
    }

    /// Opens the embedded database at `path`, which this process then owns, and brings its schema
    /// up to date.
    pub fn open_sqlite(path: &Path) -> Result<Self, StoreError> {
        Ok(Self::new(Database::Sqlite(Sqlite::open(path, &|_| ())?)))
    }

    /// The same with a crash on purpose, which may be in a migration.
    #[cfg(debug_assertions)]
    pub fn open_sqlite_crashing_at(
        path: &Path,
        crash: Option<crate::CrashPoint>,
    ) -> Result<Self, StoreError> {
        let witness = |name: &str| crate::CrashPoint::in_migration(crash.as_ref(), name);
        let sqlite = Sqlite::open(path, &witness)?;
        Ok(Self::new(Database::Sqlite(sqlite)).crashing_at(crash))
    }

    /// An empty database in memory that runs every statement on the caller's thread: what a
    /// simulation needs to repeat itself.
    pub fn in_memory() -> Result<Self, StoreError> {
        Ok(Self::new(Database::Sqlite(Sqlite::in_memory()?)))
    }

    /// Connects to the Postgres database at `url` with at most `connections` at once.
    ///
    /// The schema is not touched; see [`Store::schema_state`] and [`Store::migrate`].
    pub async fn connect_postgres(url: &str, connections: usize) -> Result<Self, StoreError> {
        let changes = Changes::new();
        let postgres = Postgres::connect(url, connections, changes.clone()).await?;
        Ok(Self { changes, ..Self::new(Database::Postgres(postgres)) })
    }

    /// `sqlite` or `postgres`, for people.
    pub fn database_name(&self) -> &'static str {
        match &*self.database {
            Database::Sqlite(_) => "sqlite",
            Database::Postgres(_) => "postgres",
        }
    }

    /// How the schema stands to what this program needs.
    pub async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        match &*self.database {
            Database::Sqlite(_) => Ok(SchemaState::Current),
            Database::Postgres(postgres) => postgres.schema_state().await,
        }
    }

    /// Brings the schema up to date; of several that try at once one does it and the others find
    /// it done. Returns how many migrations were applied.
    pub async fn migrate(&self) -> Result<u32, StoreError> {
        match &*self.database {
            // An embedded database is brought up to date when it is opened.
            Database::Sqlite(_) => Ok(0),
            #[cfg(debug_assertions)]
            Database::Postgres(postgres) => {
                let crash = self.crash.as_ref();
                postgres.migrate(&|name| crate::CrashPoint::in_migration(crash, name)).await
            }
            #[cfg(not(debug_assertions))]
            Database::Postgres(postgres) => postgres.migrate(&|_| ()).await,
        }
    }

    /// Commits `batch`: all of it or nothing. When this returns, it is durable.
    pub async fn apply(&self, batch: Batch) -> Result<Applied, StoreError> {
        if batch.is_empty() {
            return Ok(Applied::default());
        }
        let (batch, told) = self.before(batch).await?;
        let applied = match &*self.database {
            Database::Sqlite(sqlite) => sqlite.apply(batch).await,
            Database::Postgres(postgres) => postgres.apply(batch).await,
        };
        if may_be_stored(&applied) {
            self.tell(&told);
        }
        self.after(applied, &told).await
    }

    /// Commits each of `batches` for itself, as [`Store::apply`] does, in as few commits as the
    /// database can: what became of each, in their order. One that fails harms no other.
    pub async fn apply_each(&self, batches: Vec<Batch>) -> Vec<Result<Applied, StoreError>> {
        match &*self.database {
            Database::Sqlite(sqlite) => self.apply_group(sqlite, batches).await,
            Database::Postgres(_) => {
                let applied = batches.into_iter().map(|batch| self.apply(batch));
                stream::iter(applied).buffered(APPLIED_AT_ONCE).collect().await
            }
        }
    }

    /// Commits `batches` together, but for those that do not get as far as the database.
    async fn apply_group(
        &self,
        sqlite: &Sqlite,
        batches: Vec<Batch>,
    ) -> Vec<Result<Applied, StoreError>> {
        let mut outcomes = Vec::with_capacity(batches.len());
        let (mut group, mut places) = (Vec::new(), Vec::new());
        for (place, batch) in batches.into_iter().enumerate() {
            match self.before(batch).await {
                Ok((batch, told)) => {
                    group.push(batch);
                    places.push((place, told));
                    outcomes.push(Ok(Applied::default()));
                }
                Err(error) => outcomes.push(Err(error)),
            }
        }
        let applied = sqlite.apply_each(group).await;
        let due = places.iter().zip(&applied).filter(|(_, applied)| may_be_stored(applied));
        if let Some(all) = due.map(|((_, told), _)| told.clone()).reduce(Told::and) {
            self.tell(&all);
        }
        for ((place, told), applied) in places.into_iter().zip(applied) {
            let outcome = self.after(applied, &told).await;
            if let Some(at) = outcomes.get_mut(place) {
                *at = outcome;
            }
        }
        outcomes
    }

    /// What comes before a batch reaches the database: a test's faults, and a crash on purpose.
    #[cfg_attr(not(feature = "testing"), expect(clippy::unused_async, reason = "a test's waits"))]
    async fn before(&self, batch: Batch) -> Result<(Batch, Told), StoreError> {
        #[cfg(feature = "testing")]
        let batch = self.interpose(batch).await?;
        #[cfg_attr(not(debug_assertions), expect(unused_mut, reason = "no release crashes"))]
        let mut told = Told::of(&batch);
        #[cfg(debug_assertions)]
        if let Some(crash) = self.crash.as_ref().filter(|crash| crash.is_in(&batch)) {
            crash.reach(crate::crash::Side::Before);
            told.crash = Some(crash.clone());
        }
        Ok((batch, told))
    }

    /// What comes after the database has answered.
    #[cfg_attr(
        not(feature = "testing"),
        expect(clippy::unused_async, clippy::unused_self, reason = "a test's waits")
    )]
    #[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "no release crashes"))]
    async fn after(
        &self,
        applied: Result<Applied, StoreError>,
        told: &Told,
    ) -> Result<Applied, StoreError> {
        let applied = applied?;
        #[cfg(debug_assertions)]
        if let Some(crash) = &told.crash {
            crash.reach(crate::crash::Side::After);
        }
        #[cfg(feature = "testing")]
        self.answered().await?;
        Ok(applied)
    }

    /// Says that something was committed.
    fn tell(&self, told: &Told) {
        if told.wakes_daemon {
            self.changes.committed_work();
        } else {
            self.changes.committed();
        }
        if told.grants_slots {
            self.changes.granted();
        }
        self.changes.ends().tell(&told.ends);
    }

    /// Whether committed events get their position from a publisher, and not in their own commit.
    pub fn needs_publisher(&self) -> bool {
        matches!(&*self.database, Database::Postgres(_))
    }

    /// Whatever was committed through this process (and, on Postgres, announced by others): a
    /// number that only says "look now".
    pub fn changes(&self) -> watch::Receiver<i64> {
        self.changes.all()
    }

    /// Tells other processes at once to look. They are told of each commit, but only a moment after
    /// it: a process that ends does this last, or they do not hear of what it has committed last.
    pub async fn announce_now(&self) -> Result<(), StoreError> {
        match &*self.database {
            // No other process reads an embedded database.
            Database::Sqlite(_) => Ok(()),
            Database::Postgres(postgres) => postgres.announce_now().await,
        }
    }

    /// As [`Store::changes`], but only when a daemon may have something to do.
    pub fn daemon_changes(&self) -> watch::Receiver<i64> {
        self.changes.daemon()
    }

    /// As [`Store::changes`], but only when attempts may have got the slots they wait for.
    pub fn slot_changes(&self) -> watch::Receiver<i64> {
        self.changes.slots()
    }

    /// Watches the end of a run: watch first, then look whether it is over, then wait.
    pub fn watch_end(&self, run: RunId) -> RunWatch {
        self.changes.ends().of(run)
    }

    /// Asks one question.
    pub(crate) async fn read(
        &self,
        scope: Scope,
        sql: &'static Sql,
        params: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        #[cfg(feature = "testing")]
        self.interpose_read(sql).await?;
        match &*self.database {
            Database::Sqlite(sqlite) => sqlite.read(sql, params).await,
            Database::Postgres(postgres) => postgres.read(scope, sql, params).await,
        }
    }

    /// Asks one question whose answer is a few rows that an index finds.
    ///
    /// An embedded database answers it on the caller's thread: to hand it to another one would cost
    /// several times the answer.
    pub(crate) async fn read_few(
        &self,
        scope: Scope,
        sql: &'static Sql,
        params: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        match &*self.database {
            Database::Sqlite(sqlite) => sqlite.read_here(sql, params).await,
            Database::Postgres(postgres) => postgres.read(scope, sql, params).await,
        }
    }

    /// Prepares every statement of the store, so that a wrong one is found before a user does.
    pub async fn prepare_all(&self) -> Result<usize, StoreError> {
        match &*self.database {
            Database::Sqlite(sqlite) => sqlite.prepare_all().await,
            Database::Postgres(postgres) => postgres.prepare_all().await,
        }
    }

    /// Whether the database answers at all.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.setting("ping").await.map(|_| ())
    }
}

/// What others are told of a batch once it is committed.
#[derive(Clone)]
struct Told {
    wakes_daemon: bool,
    grants_slots: bool,
    ends: Vec<RunId>,
    /// Whether this is the batch of a crash on purpose.
    #[cfg(debug_assertions)]
    crash: Option<crate::CrashPoint>,
}

impl Told {
    fn of(batch: &Batch) -> Self {
        let Batch { wakes_daemon, grants_slots, ends, .. } = batch;
        Self {
            wakes_daemon: *wakes_daemon,
            grants_slots: *grants_slots,
            ends: ends.clone(),
            #[cfg(debug_assertions)]
            crash: None,
        }
    }

    fn and(mut self, other: Self) -> Self {
        self.wakes_daemon |= other.wakes_daemon;
        self.grants_slots |= other.grants_slots;
        self.ends.extend(other.ends);
        self
    }
}

/// Whether others are to look: also where nobody knows whether it is committed, because who repeats
/// it then has nothing to write.
fn may_be_stored(applied: &Result<Applied, StoreError>) -> bool {
    matches!(applied, Ok(_) | Err(StoreError::Unavailable(_)))
}
