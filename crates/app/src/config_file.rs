//! `millstream.yaml` of a project: the settings of its instance, below the environment.
//!
//! Each key stands for a variable ([`KEYS`]); where both are there the variable wins.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use millstream_definition::plain_settings;

use crate::error::AppError;

/// The file's name in the project's folder.
pub(crate) const NAME: &str = "millstream.yaml";

/// The largest file that is read; what is longer is no file of settings.
const SIZE_MAX: u64 = 1 << 20;

/// The keys of the file, and the variable that each stands for.
pub(crate) const KEYS: &[(&str, &str)] = &[
    ("dags.dir", "DAGS_DIR"),
    ("dags.enabled", "DAGS_ENABLED"),
    ("dags.scan_interval", "DAGS_SCAN_INTERVAL"),
    ("database_url", "MILLSTREAM_DATABASE_URL"),
    ("database_sslmode", "PGSSLMODE"),
    ("database_sslrootcert", "PGSSLROOTCERT"),
    ("env", "MILLSTREAM_ENV"),
    ("launcher", "MILLSTREAM_LAUNCHER"),
    ("launches_max", "MILLSTREAM_LAUNCHES_MAX"),
    ("run_retries", "MILLSTREAM_RUN_RETRIES"),
    ("timeouts.cancel", "MILLSTREAM_CANCEL_TIMEOUT"),
    ("timeouts.run", "MILLSTREAM_RUN_TIMEOUT"),
    ("timeouts.start", "MILLSTREAM_START_TIMEOUT"),
    ("lease", "MILLSTREAM_LEASE"),
    ("limits.cpu", "MILLSTREAM_STEP_CPU"),
    ("limits.cpu_time", "MILLSTREAM_STEP_CPU_TIME"),
    ("limits.memory", "MILLSTREAM_STEP_MEMORY"),
    ("limits.open_files", "MILLSTREAM_STEP_OPEN_FILES"),
    ("limits.processes", "MILLSTREAM_STEP_PROCESSES"),
    ("max_concurrent_runs", "MILLSTREAM_MAX_CONCURRENT_RUNS"),
    ("outbound.allow", "MILLSTREAM_OUTBOUND_ALLOW"),
    ("output_max", "MILLSTREAM_OUTPUT_MAX"),
    ("python", "MILLSTREAM_PYTHON"),
];

/// The settings in the file of `project`, by the variables that they stand for; none without one.
pub(crate) fn read(project: &Path) -> Result<BTreeMap<String, String>, AppError> {
    let path = project.join(NAME);
    let mut content = Vec::new();
    match std::fs::File::open(&path) {
        Ok(file) => {
            let read = file.take(SIZE_MAX + 1).read_to_end(&mut content);
            read.map_err(|source| AppError::Files { path, source })?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(source) => return Err(AppError::Files { path, source }),
    }
    let known: Vec<&str> = KEYS.iter().map(|(key, _)| *key).collect();
    let found = plain_settings(NAME, &content, &known).map_err(|diagnostics| {
        let text = String::from_utf8_lossy(&content).into_owned();
        AppError::Settings { text, diagnostics }
    })?;
    let variable = |key: &str| KEYS.iter().find(|(known, _)| *known == key).map(|(_, name)| *name);
    Ok(found
        .into_iter()
        .filter_map(|(key, value)| Some((variable(&key)?.to_owned(), value)))
        .collect())
}
