//! Which keys dynamic partitions gain and lose, and what keeps them from being wiped.

use std::collections::BTreeSet;

use millstream_model::{ErrorCode, PartitionKey, PartitionSync, REQUESTS_MAX, TickWarning};
use serde_json::{Map, Value};

use crate::template::Templates;

/// The characters of a row that is wrong that are shown.
const ROW_SHOWN: usize = 100;

/// What a synchronization changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncPlan {
    /// The keys that are new.
    pub add: Vec<PartitionKey>,
    /// The keys that are gone.
    pub remove: Vec<PartitionKey>,
    /// How many there are afterwards, those of the file among them.
    pub total: usize,
    /// Whether there is more to do, which the next tick does.
    pub is_partial: bool,
    /// What is wrong with some of the rows.
    pub told: Option<TickWarning>,
}

/// What the rows of a source name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamedKeys {
    /// The keys.
    pub keys: BTreeSet<PartitionKey>,
    /// Which rows have no key, in words, where some have none.
    pub keyless: Option<String>,
}

/// The keys that the rows of a source name: each row is one, or what the template `keys` gives of
/// it, one a line. A template that puts nothing into its text, as one whose condition does not
/// hold, names none on purpose; a null, an empty text or a field that the row does not have is a
/// key that is missing. Where no row names a key and some lack a field, the template is wrong.
pub fn keys_of_rows(
    sync: &PartitionSync,
    answer: Value,
    base: &Map<String, Value>,
) -> Result<NamedKeys, TickWarning> {
    let fail = |message: String| warning(ErrorCode::SensorAnswer, message);
    let Value::Array(rows) = super::draft::listed(answer) else {
        let message = "the source gave no list of rows; say where they stand with `rows`";
        return Err(fail(message.to_owned()));
    };
    let mut keys = BTreeSet::new();
    let mut keyless = Vec::new();
    let mut lacking = None;
    for (number, row) in rows.iter().enumerate() {
        let (lines, names_none) = match (&sync.keys, row) {
            (Some(template), row) => {
                let mut names = base.clone();
                names.insert("item".to_owned(), row.clone());
                let place = || format!("row {} of {}, {}", number + 1, rows.len(), shown(row));
                let told = |error| fail(format!("{error}; it is {}", place()));
                let of_row = of_row(template, &Value::Object(names)).map_err(told)?;
                lacking = lacking.or_else(|| of_row.lacking.map(told));
                (of_row.lines, of_row.names_none)
            }
            (None, Value::String(text)) => (text.lines().map(str::to_owned).collect(), false),
            (None, Value::Null) => (Vec::new(), false),
            (None, row) => {
                let message =
                    format!("{} is no key; say what the key of a row is with `keys`", shown(row));
                return Err(fail(message));
            }
        };
        if !names_none && is_blank(&lines) {
            keyless.push((number, row));
        }
        for text in lines.iter().map(|line| line.trim()).filter(|text| !text.is_empty()) {
            keys.insert(text.parse::<PartitionKey>().map_err(|error| fail(error.to_string()))?);
        }
    }
    if let Some(warning) = lacking.filter(|_| keys.is_empty()) {
        return Err(warning);
    }
    Ok(NamedKeys { keys, keyless: keyless_words(&keyless, rows.len()) })
}

/// What a template gives of a row.
struct OfRow {
    lines: Vec<String>,
    /// Whether it puts nothing into its text.
    names_none: bool,
    /// Which fields the row does not have, in words.
    lacking: Option<String>,
}

/// What the template gives of the row in `names`; a field that the row does not have is a null.
fn of_row(template: &str, names: &Value) -> Result<OfRow, String> {
    let fill = Templates::over(names);
    let lines = match fill.key_lines(template) {
        Ok(lines) => lines,
        Err(error) => {
            let nulls = fill.with_nulls(template, "item");
            let lines = nulls.and_then(|names| Templates::over(&names).key_lines(template).ok());
            let Some(lines) = lines else { return Err(error) };
            return Ok(OfRow { lines, names_none: false, lacking: Some(error) });
        }
    };
    let puts = || fill.puts_something(template).map_err(|error| error.to_string());
    let names_none = is_blank(&lines) && !puts()?;
    Ok(OfRow { lines, names_none, lacking: None })
}

fn is_blank(lines: &[String]) -> bool {
    lines.iter().all(|line| line.trim().is_empty())
}

fn keyless_words(keyless: &[(usize, &Value)], rows: usize) -> Option<String> {
    let (first, row) = keyless.first()?;
    let (first, row) = (first + 1, shown(row));
    Some(match keyless.len() {
        1 => format!("row {first} of {rows} has no key, {row}"),
        many => format!("{many} of {rows} rows have no key, the first is row {first}, {row}"),
    })
}

/// The beginning of a row.
fn shown(row: &Value) -> String {
    row.to_string().chars().take(ROW_SHOWN).collect()
}

/// What makes `present` the keys that are `named`; those of the file are there whatever the source
/// names.
///
/// A source that names none, or whose answer would remove more than the guard allows, changes
/// nothing. While a row has no key nothing is removed: it may be what has lost its name.
pub fn sync(
    sync: &PartitionSync,
    named: &NamedKeys,
    present: &BTreeSet<PartitionKey>,
    of_file: &BTreeSet<PartitionKey>,
) -> Result<SyncPlan, TickWarning> {
    let wanted = &named.keys;
    let all: BTreeSet<&PartitionKey> = present.union(of_file).collect();
    let own: BTreeSet<&PartitionKey> = present.difference(of_file).collect();
    let gone = || own.iter().filter(|key| !wanted.contains(**key));
    let missing = if sync.remove_missing { gone().count() } else { 0 };
    let beside = if of_file.is_empty() { "" } else { " that stand in no file" };
    if wanted.is_empty() && missing > 0 && sync.max_removed < 100 {
        let keyless = named.keyless.as_deref();
        let keyless = keyless.map(|words| format!(" ({words})")).unwrap_or_default();
        return Err(warning(
            ErrorCode::SyncGuard,
            format!(
                "the source names no key at all{keyless}, and all {missing}{beside} would be \
                 removed; nothing was changed (guard.max_removed: 100% allows it)"
            ),
        ));
    }
    let told = named.keyless.as_ref().map(|words| {
        let held = match missing {
            _ if !sync.remove_missing => String::new(),
            0 => "; while a row has none, no key is removed".to_owned(),
            1 => "; while a row has none, no key is removed: 1 that no row names stays".to_owned(),
            n => format!("; while a row has none, no key is removed: {n} that no row names stay"),
        };
        warning(ErrorCode::SensorAnswer, format!("{words}{held}"))
    });
    let missing = if told.is_some() { 0 } else { missing };
    // Exactly: a share that is rounded to whole keys would let one key too many go.
    let allowed = own.len().saturating_mul(sync.max_removed as usize);
    if missing.saturating_mul(100) > allowed {
        return Err(warning(
            ErrorCode::SyncGuard,
            format!(
                "the source names {} keys, and {missing} of {}{beside} would be removed, more \
                 than {} % (guard.max_removed); nothing was changed",
                wanted.len(),
                own.len(),
                sync.max_removed
            ),
        ));
    }
    let mut add: Vec<PartitionKey> =
        wanted.iter().filter(|key| !all.contains(key)).cloned().collect();
    let is_partial = add.len() + missing > REQUESTS_MAX;
    add.truncate(REQUESTS_MAX);
    let removed = missing.min(REQUESTS_MAX - add.len());
    let remove: Vec<PartitionKey> = gone().take(removed).map(|key| (**key).clone()).collect();
    let total = all.len() + add.len() - remove.len();
    Ok(SyncPlan { add, remove, total, is_partial, told })
}

fn warning(code: ErrorCode, message: String) -> TickWarning {
    TickWarning { partition: None, code, message }
}
