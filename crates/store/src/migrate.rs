//! The schema's history: numbered folders of SQL, applied in order, each with its checksum.
//!
//! A migration is `up.sql` for both databases and, where they must differ, `sqlite.sql` or
//! `postgres.sql` after it. Those of Postgres only expand: the version before this one works on it.
//! An embedded database has one owner, which refuses what a newer one has changed.

use millstream_model::ContentHash;

use crate::StoreError;
use crate::dialect::Dialect;

/// One step of the schema's history.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Its number; later migrations have higher ones.
    pub version: i64,
    /// Its folder's name.
    pub name: &'static str,
    up: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

/// How a database's schema stands to what this program needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// It is what is needed.
    Current,
    /// It lacks migrations.
    Behind {
        /// The version found; 0 for an empty database.
        found: i64,
    },
    /// A newer program has changed it.
    Ahead {
        /// The version found.
        found: i64,
    },
}

pub(crate) static MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "0001_start",
        up: include_str!("../migrations/0001_start/up.sql"),
        sqlite: "",
        postgres: include_str!("../migrations/0001_start/postgres.sql"),
    },
    Migration {
        version: 2,
        name: "0002_versions",
        up: include_str!("../migrations/0002_versions/up.sql"),
        sqlite: "",
        postgres: "",
    },
    Migration {
        version: 3,
        name: "0003_schedules",
        up: include_str!("../migrations/0003_schedules/up.sql"),
        sqlite: "",
        postgres: include_str!("../migrations/0003_schedules/postgres.sql"),
    },
    Migration {
        version: 4,
        name: "0004_failure",
        up: include_str!("../migrations/0004_failure/up.sql"),
        sqlite: "",
        postgres: include_str!("../migrations/0004_failure/postgres.sql"),
    },
    Migration {
        version: 5,
        name: "0005_sensors",
        up: include_str!("../migrations/0005_sensors/up.sql"),
        sqlite: "",
        postgres: "",
    },
    Migration {
        version: 6,
        name: "0006_queue",
        up: include_str!("../migrations/0006_queue/up.sql"),
        sqlite: "",
        postgres: include_str!("../migrations/0006_queue/postgres.sql"),
    },
    Migration {
        version: 7,
        name: "0007_queue_indexes",
        up: include_str!("../migrations/0007_queue_indexes/up.sql"),
        sqlite: "",
        postgres: "",
    },
    Migration {
        version: 8,
        name: "0008_events",
        up: include_str!("../migrations/0008_events/up.sql"),
        sqlite: "",
        postgres: include_str!("../migrations/0008_events/postgres.sql"),
    },
    Migration {
        version: 9,
        name: "0009_fewer_pages",
        up: include_str!("../migrations/0009_fewer_pages/up.sql"),
        sqlite: include_str!("../migrations/0009_fewer_pages/sqlite.sql"),
        postgres: "",
    },
    Migration {
        version: 10,
        name: "0010_again",
        up: include_str!("../migrations/0010_again/up.sql"),
        sqlite: "",
        postgres: "",
    },
    Migration {
        version: 11,
        name: "0011_reports",
        up: include_str!("../migrations/0011_reports/up.sql"),
        sqlite: "",
        postgres: include_str!("../migrations/0011_reports/postgres.sql"),
    },
    Migration {
        version: 12,
        name: "0012_loops",
        up: include_str!("../migrations/0012_loops/up.sql"),
        sqlite: "",
        postgres: "",
    },
    Migration {
        version: 13,
        name: "0013_log",
        up: "",
        sqlite: include_str!("../migrations/0013_log/sqlite.sql"),
        postgres: "",
    },
    Migration {
        version: 14,
        name: "0014_handed_back",
        up: include_str!("../migrations/0014_handed_back/up.sql"),
        sqlite: "",
        postgres: "",
    },
    Migration {
        version: 15,
        name: "0015_deliveries",
        up: include_str!("../migrations/0015_deliveries/up.sql"),
        sqlite: "",
        postgres: "",
    },
    Migration {
        version: 16,
        name: "0016_leases_seen",
        up: "",
        sqlite: "",
        postgres: include_str!("../migrations/0016_leases_seen/postgres.sql"),
    },
    Migration {
        version: 17,
        name: "0017_dead_letters_by_time",
        up: include_str!("../migrations/0017_dead_letters_by_time/up.sql"),
        sqlite: "",
        postgres: "",
    },
    Migration {
        version: 18,
        name: "0018_log_by_place",
        up: "",
        sqlite: include_str!("../migrations/0018_log_by_place/sqlite.sql"),
        postgres: "",
    },
];

/// Who is told the name of a migration between its statements and its commit: a test that ends the
/// process there.
pub(crate) type Witness<'a> = &'a (dyn Fn(&str) + Sync);

/// The table that remembers what was applied; an instance table, the same on both databases.
pub(crate) const CREATE_MIGRATION_TABLE: &str = "
    CREATE TABLE IF NOT EXISTS migration (
        version BIGINT NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        checksum TEXT NOT NULL
    )";

impl Migration {
    /// The SQL for one database.
    pub(crate) fn sql(&self, dialect: Dialect) -> String {
        let own = match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres,
        };
        format!("{}\n{own}", dialect.render_schema(self.up))
    }

    /// The checksum of what is applied on one database.
    pub(crate) fn checksum(&self, dialect: Dialect) -> String {
        ContentHash::of(self.sql(dialect).as_bytes()).to_string()
    }
}

/// The version that this program needs.
pub(crate) fn needed() -> i64 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

/// How `applied`, the stored versions in order with their checksums, stands to what is needed.
pub(crate) fn state(
    applied: &[(i64, String)],
    dialect: Dialect,
) -> Result<SchemaState, StoreError> {
    let found = applied.last().map_or(0, |(version, _)| *version);
    for (version, checksum) in applied {
        let known = MIGRATIONS.iter().find(|migration| migration.version == *version);
        if known.is_some_and(|migration| migration.checksum(dialect) != *checksum) {
            return Err(StoreError::Schema {
                found,
                needed: needed(),
                help: "a migration that was applied is not the one of this program; \
                       use the program that applied it, or restore a backup",
            });
        }
    }
    Ok(match found {
        found if found == needed() => SchemaState::Current,
        found if found < needed() => SchemaState::Behind { found },
        found => SchemaState::Ahead { found },
    })
}

/// The error for a schema that a newer program has changed.
pub(crate) fn too_new(found: i64) -> StoreError {
    StoreError::Schema {
        found,
        needed: needed(),
        help: "it was changed by a newer version of Millstream; run that version",
    }
}
