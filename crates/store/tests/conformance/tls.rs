//! The way to Postgres, encrypted: a server of the test's own, with certificates of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use millstream_model::ErrorCode;
use millstream_store::{Batch, Scope, Store, StoreError};
use tempfile::TempDir;

use crate::databases;
use crate::fixture::SET;

/// A server that takes encrypted connections alone; it ends with the value.
struct Server {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
}

/// The settings of a server that nothing outlives.
const SETTINGS: &str = "-c listen_addresses=127.0.0.1 -c ssl=on -c ssl_cert_file=server.pem \
                        -c ssl_key_file=server.key -c fsync=off -c full_page_writes=off";

impl Server {
    /// Starts one, or says why there is none.
    fn start() -> Option<Self> {
        // Where tests have a Postgres to talk to they also have its programs, or they say so.
        databases::server()?;
        let Some(programs) = programs() else {
            let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!is_ci, "the programs of Postgres are not installed, and CI runs every test");
            eprintln!("skipped: install the programs of Postgres (initdb)");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("tls").tempdir_in("/tmp").unwrap();
        certificates(folder.path());
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { folder, programs, port };
        server.own_the_folder();
        let data = server.path("data");
        server.run("initdb", &["-D", &data, "-U", "postgres", "--auth=trust", "--no-sync"]);
        server.shell(&format!(
            "mv {0}/server.pem {0}/server.key {data}/ && \
             echo 'hostssl all all 127.0.0.1/32 trust' > {data}/pg_hba.conf",
            server.path("")
        ));
        let settings = format!("{SETTINGS} -p {port} -k {}", server.path(""));
        let log = server.path("log");
        server.run("pg_ctl", &["-D", &data, "-w", "-l", &log, "-o", &settings, "start"]);
        Some(server)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn address(&self, host: &str, encryption: &str) -> String {
        let port = self.port;
        format!("postgres://postgres@{host}:{port}/postgres?{encryption}")
    }

    async fn connect(&self, host: &str, encryption: &str) -> Result<Store, StoreError> {
        Store::connect_postgres(&self.address(host, encryption), 2).await
    }

    /// The error of an address that is refused because of its encryption.
    async fn refusal(&self, host: &str, encryption: &str) -> String {
        let error = self.connect(host, encryption).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::DatabaseTls, "{error}");
        error.to_string()
    }

    fn own_the_folder(&self) {
        if is_root() {
            done(Command::new("chown").arg("-R").arg("nobody").arg(self.folder.path()));
        }
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        done(as_user(&self.programs.join(program)).args(arguments));
    }

    fn shell(&self, line: &str) {
        done(as_user(Path::new("sh")).args(["-c", line]).current_dir(self.folder.path()));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.path("data");
        let stop = ["-D", &data, "-m", "immediate", "stop"];
        let stopped = as_user(&self.programs.join("pg_ctl")).args(stop).output();
        assert!(stopped.is_ok());
    }
}

/// The folder of `initdb`, which Debian keeps out of the path.
fn programs() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let places = debian.map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    places.chain(std::env::split_paths(&path)).find(|folder| folder.join("initdb").is_file())
}

/// `program` as a user that Postgres accepts; it refuses root.
fn as_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).arg(program);
    command
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

fn done(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// An authority, the server's certificate by it for `localhost` alone, and another authority.
fn certificates(folder: &Path) {
    let openssl = |arguments: &str| {
        done(Command::new("openssl").args(arguments.split(' ')).current_dir(folder));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -batch";
    for (name, subject) in [("ca", "/CN=ours"), ("other", "/CN=theirs")] {
        openssl(&format!(
            "req -x509 {key} -subj {subject} -days 2 -keyout {name}.key -out {name}.pem"
        ));
    }
    openssl(&format!("req {key} -subj /CN=localhost -keyout server.key -out server.csr"));
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost\n").unwrap();
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
         -extfile names -out server.pem",
    );
}

/// Waits until a store is told to look.
async fn hears(mut changes: tokio::sync::watch::Receiver<i64>) {
    tokio::time::timeout(Duration::from_secs(20), changes.changed()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r008_a_database_is_reached_encrypted_as_its_address_asks() {
    let Some(server) = Server::start() else { return };
    let (ours, theirs) = (server.path("ca.pem"), server.path("other.pem"));

    // The server's rules refuse plain connections, so whoever is let in is encrypted.
    let store = server.connect("localhost", "sslmode=require").await.unwrap();
    assert!(store.migrate().await.unwrap() > 0);
    server.connect("localhost", "sslmode=prefer").await.unwrap();
    server.connect("localhost", "").await.unwrap();
    let plain = server.refusal("localhost", "sslmode=disable").await;
    assert!(plain.contains("no encryption; say `sslmode=require`"), "{plain}");

    let full = format!("sslmode=verify-full&sslrootcert={ours}");
    let other = server.connect("localhost", &full).await.unwrap();
    let changes = other.changes();
    server.connect("127.0.0.1", &format!("sslmode=verify-ca&sslrootcert={ours}")).await.unwrap();
    let name = server.refusal("127.0.0.1", &full).await;
    assert!(name.contains("certificate not valid for name \"127.0.0.1\""), "{name}");

    for mode in ["require", "verify-ca", "verify-full"] {
        let wrong = format!("sslmode={mode}&sslrootcert={theirs}");
        assert_eq!(
            server.refusal("localhost", &wrong).await,
            "the connection to the database is refused: the server's certificate is signed by an \
             authority that is not trusted here; name the file of the one that signed it with \
             `sslrootcert`"
        );
    }
    // What others announce comes over a connection of its own.
    let committed = Batch::new(Scope::Instance).then_one(&SET, vec!["a".into(), "1".into()]);
    store.apply(committed).await.unwrap();
    hears(changes).await;
}

#[tokio::test]
async fn r008_a_server_without_encryption_is_refused_where_the_address_asks_for_it() {
    let Some(config) = databases::server() else { return };
    let address = format!("{} sslmode=require", databases::url(&config));
    let error = Store::connect_postgres(&address, 1).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DatabaseTls);
    assert!(error.to_string().contains("offers no encrypted connections (SSL)"), "{error}");

    let address = format!("{} sslmode=no", databases::url(&config));
    let error = Store::connect_postgres(&address, 1).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DatabaseTls);
}
