//! The database of a test's instance: the embedded file, or a Postgres database of its own.

use std::sync::atomic::{AtomicU32, Ordering};

/// Where an instance keeps its data.
pub(crate) enum Database {
    /// In its folder.
    Embedded,
    /// In a Postgres database that nothing else uses.
    Postgres {
        /// Its URL.
        url: String,
    },
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Database {
    /// A new Postgres database; `None` without a server.
    pub(crate) fn on_postgres() -> Option<Self> {
        let server = millstream_testkit::postgres::postgres_url()?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("millstream_app_{}_{number}", std::process::id());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, connection) =
                tokio_postgres::connect(&server, tokio_postgres::NoTls).await.unwrap();
            let connection = tokio::spawn(connection);
            client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
            drop(client);
            connection.await.unwrap().unwrap();
        });
        let (base, _) = server.rsplit_once('/').unwrap();
        Some(Self::Postgres { url: format!("{base}/{name}") })
    }

    /// The URL that the binary is given; `None` for the embedded file.
    pub(crate) fn url(&self) -> Option<&str> {
        match self {
            Self::Embedded => None,
            Self::Postgres { url } => Some(url),
        }
    }
}
