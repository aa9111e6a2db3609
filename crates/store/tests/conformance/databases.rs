//! A database for each case, and the case run on it.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use millstream_model::ContentHash;
use millstream_store::{POSTGRES_OPTIONS, Store};
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};

/// Which database a case runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    SqliteFile,
    SqliteInMemory,
    Postgres,
}

/// An empty, migrated database.
#[derive(Clone)]
pub(crate) struct Db {
    pub(crate) store: Store,
    place: Option<Place>,
}

/// A database on the server.
#[derive(Clone)]
struct Place {
    admin: Config,
    login: Config,
}

/// Whose rows a transaction may touch.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    Daemon,
    Tenant(&'static str),
}

/// Connections of each store: enough for the cases that write at once.
const CONNECTIONS: usize = 8;

/// The owner of the databases: neither superuser nor above row-level security, as in production.
const LOGIN: &str = "store_conformance";

impl Db {
    /// The store as another process would have it; an embedded database has only one.
    pub(crate) async fn other(&self) -> Store {
        match &self.place {
            None => self.store.clone(),
            Some(place) => place.connect(CONNECTIONS).await,
        }
    }

    /// A store with so many connections, on the server.
    pub(crate) async fn with_connections(&self, connections: usize) -> Store {
        self.place.as_ref().unwrap().connect(connections).await
    }

    /// A plain connection with the settings of the store's, in the role of one of its transactions.
    pub(crate) async fn asking(&self, role: Role) -> Client {
        let place = self.place.as_ref().unwrap();
        let mut config = place.admin.clone();
        config.dbname(place.login.get_dbname().unwrap()).options(POSTGRES_OPTIONS);
        let client = client(&config).await;
        let (role, tenants) = match role {
            Role::Daemon => ("millstream_daemon", ""),
            Role::Tenant(tenant) => ("millstream_tenant", tenant),
        };
        let enter = format!("SET ROLE {role}; SET millstream.tenants = '{tenants}'");
        client.batch_execute(&enter).await.unwrap();
        client
    }

    /// A plain connection of a superuser to this database.
    pub(crate) async fn admin(&self) -> Client {
        let place = self.place.as_ref().unwrap();
        let mut config = place.admin.clone();
        config.dbname(place.login.get_dbname().unwrap());
        client(&config).await
    }
}

impl Place {
    async fn connect(&self, connections: usize) -> Store {
        Store::connect_postgres(&url(&self.login), connections).await.unwrap()
    }

    async fn drop_database(&self) {
        let name = self.login.get_dbname().unwrap();
        let admin = client(&self.admin).await;
        admin.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
    }
}

/// The longest that a case may take.
const CASE_MAX: Duration = Duration::from_mins(1);

/// Runs `case` on a database of its own. One that fails leaves its database on the server.
pub(crate) fn run<F: Future<Output = ()>>(kind: Kind, case: impl FnOnce(Db) -> F) {
    run_for(CASE_MAX, kind, case);
}

/// The same for a case that may take as long as `limit`.
pub(crate) fn run_for<F: Future<Output = ()>>(
    limit: Duration,
    kind: Kind,
    case: impl FnOnce(Db) -> F,
) {
    let in_time = |case| in_time(limit, case);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        match kind {
            Kind::SqliteInMemory => {
                in_time(case(Db { store: Store::in_memory().unwrap(), place: None })).await;
            }
            Kind::SqliteFile => {
                let folder = tempfile::tempdir().unwrap();
                let store = Store::open_sqlite(&folder.path().join("store.db")).unwrap();
                in_time(case(Db { store, place: None })).await;
            }
            Kind::Postgres => {
                let Some(admin) = server() else { return };
                let template = template(&admin).await;
                let place = Place { login: create(&admin, Some(&template)).await, admin };
                let store = place.connect(CONNECTIONS).await;
                in_time(case(Db { store, place: Some(place.clone()) })).await;
                place.drop_database().await;
            }
        }
    });
}

/// A case that waits for what never comes fails instead of hanging.
async fn in_time(limit: Duration, case: impl Future<Output = ()>) {
    tokio::time::timeout(limit, case).await.unwrap();
}

/// Runs `case` on a Postgres database without a schema.
pub(crate) fn run_unmigrated<F: Future<Output = ()>>(case: impl FnOnce(Db) -> F) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let Some(admin) = server() else { return };
        create_login(&client(&admin).await).await;
        let place = Place { login: create(&admin, None).await, admin };
        let store = place.connect(CONNECTIONS).await;
        in_time(CASE_MAX, case(Db { store, place: Some(place.clone()) })).await;
        place.drop_database().await;
    });
}

/// The superuser's connection, or nothing where there is no server.
pub(crate) fn server() -> Option<Config> {
    static SAID: Once = Once::new();
    let url = std::env::var("TEST_POSTGRES_URL").ok().filter(|url| !url.is_empty());
    let Some(url) = url else {
        let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!is_ci, "TEST_POSTGRES_URL is not set, and CI runs every test");
        SAID.call_once(|| eprintln!("skipped: set TEST_POSTGRES_URL"));
        return None;
    };
    Some(Config::from_str(&url).unwrap())
}

async fn client(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// `config` as the text that a store takes.
pub(crate) fn url(config: &Config) -> String {
    let host = match &config.get_hosts()[0] {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let (user, name) = (config.get_user().unwrap(), config.get_dbname().unwrap());
    format!("host='{host}' port={port} user={user} password={LOGIN} dbname={name}")
}

/// A database of the login's own, copied from `template` if there is one.
async fn create(admin: &Config, template: Option<&str>) -> Config {
    static CASES: AtomicU32 = AtomicU32::new(0);
    let case = CASES.fetch_add(1, Ordering::Relaxed);
    let name = format!("store_case_{}_{case}", std::process::id());
    let copied = template.map(|name| format!("TEMPLATE {name}")).unwrap_or_default();
    let created = format!("CREATE DATABASE {name} OWNER {LOGIN} {copied}");
    let connection = client(admin).await;
    let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
    connection.batch_execute(&drop).await.unwrap();
    connection.batch_execute(&created).await.unwrap();
    login(admin, &name)
}

fn login(admin: &Config, name: &str) -> Config {
    let mut login = admin.clone();
    login.user(LOGIN).password(LOGIN).dbname(name);
    login
}

/// The migrated database that all are copied from; made once for each state of the schema.
async fn template(admin: &Config) -> String {
    let schema = migrations() + include_str!("../../src/dialect.rs");
    let name = format!("store_template_{}", ContentHash::of(schema.as_bytes()).short());
    let connection = client(admin).await;
    // The lock ends with the connection.
    connection.batch_execute("SELECT pg_advisory_lock(20130101)").await.unwrap();
    let found = "SELECT 1 FROM pg_database WHERE datname = $1";
    if connection.query_opt(found, &[&name]).await.unwrap().is_some() {
        return name;
    }
    create_login(&connection).await;
    let unfinished = format!("{name}_unfinished");
    let drop = format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)");
    connection.batch_execute(&drop).await.unwrap();
    let create = format!("CREATE DATABASE {unfinished} OWNER {LOGIN}");
    connection.batch_execute(&create).await.unwrap();
    let store = Store::connect_postgres(&url(&login(admin, &unfinished)), 1).await.unwrap();
    store.migrate().await.unwrap();
    std::mem::drop(store);
    let rename = format!("ALTER DATABASE {unfinished} RENAME TO {name}");
    connection.batch_execute(&rename).await.unwrap();
    name
}

/// The text of every migration, in their order.
fn migrations() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let inside = |folder: &Path| -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> =
            folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let files = inside(&folder).into_iter().flat_map(|migration| inside(&migration));
    files.map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

/// The login, and its membership of roles that another owner has made.
async fn create_login(connection: &Client) {
    let made = format!(
        "DO $$ BEGIN
            CREATE ROLE {LOGIN} LOGIN CREATEROLE PASSWORD '{LOGIN}';
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END $$"
    );
    connection.batch_execute(&made).await.unwrap();
    for role in ["millstream_tenant", "millstream_daemon"] {
        let known = "SELECT 1 FROM pg_roles WHERE rolname = $1";
        if connection.query_opt(known, &[&role]).await.unwrap().is_some() {
            let granted = format!(
                "DO $$ BEGIN GRANT {role} TO {LOGIN};
                EXCEPTION WHEN unique_violation THEN NULL; END $$"
            );
            connection.batch_execute(&granted).await.unwrap();
        }
    }
}
