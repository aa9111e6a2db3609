//! Which keys dynamic partitions gain and lose, and what keeps them from being wiped.

use std::collections::BTreeSet;

use millstream_model::{ErrorCode, PartitionKey, PartitionSync, REQUESTS_MAX, TickWarning};
use serde_json::{Map, Value};

use crate::template::Templates;

/// What a synchronization changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncPlan {
    /// The keys that are new.
    pub add: Vec<PartitionKey>,
    /// The keys that are gone.
    pub remove: Vec<PartitionKey>,
    /// How many there are afterwards.
    pub total: usize,
    /// Whether there is more to do, which the next tick does.
    pub is_partial: bool,
}

/// The keys that the rows of a source name: each row is one, or what the template `keys` gives of
/// it, one a line.
pub fn keys_of_rows(
    sync: &PartitionSync,
    answer: Value,
    base: &Map<String, Value>,
) -> Result<BTreeSet<PartitionKey>, TickWarning> {
    let fail = |message: String| warning(ErrorCode::SensorAnswer, message);
    let Value::Array(rows) = super::draft::listed(answer) else {
        let message = "the source gave no list of rows; say where they stand with `rows`";
        return Err(fail(message.to_owned()));
    };
    let mut keys = BTreeSet::new();
    for (number, row) in rows.iter().enumerate() {
        let lines = match (&sync.keys, row) {
            (Some(template), row) => {
                let mut names = base.clone();
                names.insert("item".to_owned(), row.clone());
                let names = Value::Object(names);
                let place = || format!("row {} of {}, {}", number + 1, rows.len(), shown(row));
                let filled = Templates::over(&names).key_lines(template);
                filled.map_err(|error| fail(format!("{error}; it is {}", place())))?
            }
            (None, Value::String(text)) => text.lines().map(str::to_owned).collect(),
            (None, row) => {
                let message =
                    format!("{} is no key; say what the key of a row is with `keys`", shown(row));
                return Err(fail(message));
            }
        };
        for text in lines.iter().map(|line| line.trim()).filter(|text| !text.is_empty()) {
            keys.insert(text.parse::<PartitionKey>().map_err(|error| fail(error.to_string()))?);
        }
    }
    Ok(keys)
}

/// A row as a message shows it.
fn shown(row: &Value) -> String {
    row.to_string().chars().take(100).collect()
}

/// What makes `present` the keys of `wanted`. A source that names none, or whose answer would
/// remove more than the guard allows, changes nothing.
pub fn sync(
    sync: &PartitionSync,
    wanted: &BTreeSet<PartitionKey>,
    present: &BTreeSet<PartitionKey>,
) -> Result<SyncPlan, TickWarning> {
    let missing: Vec<PartitionKey> = if sync.remove_missing {
        present.difference(wanted).cloned().collect()
    } else {
        Vec::new()
    };
    if wanted.is_empty() && !missing.is_empty() && sync.max_removed < 100 {
        return Err(warning(
            ErrorCode::SyncGuard,
            format!(
                "the source names no key at all, and all {} would be removed; nothing was changed \
                 (guard.max_removed: 100% allows it)",
                present.len()
            ),
        ));
    }
    // Exactly: a share that is rounded to whole keys would let one key too many go.
    let allowed = present.len().saturating_mul(sync.max_removed as usize);
    if missing.len().saturating_mul(100) > allowed {
        return Err(warning(
            ErrorCode::SyncGuard,
            format!(
                "the source names {} keys, and {} of {} would be removed, more than {} % \
                 (guard.max_removed); nothing was changed",
                wanted.len(),
                missing.len(),
                present.len(),
                sync.max_removed
            ),
        ));
    }
    let mut add: Vec<PartitionKey> = wanted.difference(present).cloned().collect();
    let mut remove = missing;
    let is_partial = add.len() + remove.len() > REQUESTS_MAX;
    add.truncate(REQUESTS_MAX);
    remove.truncate(REQUESTS_MAX - add.len());
    let total = present.len() + add.len() - remove.len();
    Ok(SyncPlan { add, remove, total, is_partial })
}

fn warning(code: ErrorCode, message: String) -> TickWarning {
    TickWarning { partition: None, code, message }
}
