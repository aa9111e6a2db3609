//! Which cursor the rows of a source leave behind.

use millstream_model::{CURSOR_MAX, ErrorCode, TickWarning};
use serde_json::{Map, Value};

use super::Found;
use crate::template::Templates;

/// The characters of a row that a warning shows.
const ROW_SHOWN: usize = 200;

/// The cursor that the last row gives which gives one: what it was `before` when none does. The
/// warning names a last row whose cursor is null.
pub fn cursor_of_rows(
    template: &str,
    (found, before): (&[Found], Option<&str>),
    base: &Map<String, Value>,
) -> Result<(Option<String>, Option<TickWarning>), TickWarning> {
    let mut warned = None;
    for (number, row) in found.iter().enumerate().rev() {
        let mut names = base.clone();
        names.extend(row.names.clone());
        let names = Value::Object(names);
        let filled = Templates::over(&names).text_unless_null(template);
        match filled.map_err(|error| wrong(error.to_string()))? {
            Some(cursor) if cursor.len() > CURSOR_MAX => {
                return Err(wrong("the cursor is longer than 1 MiB".to_owned()));
            }
            Some(cursor) => return Ok((Some(cursor), warned)),
            None => warned = warned.or_else(|| Some(null_in(template, (number, found.len()), row))),
        }
    }
    Ok((before.map(str::to_owned), warned))
}

fn null_in(template: &str, (number, count): (usize, usize), row: &Found) -> TickWarning {
    let item = row.names.get("item").map(Value::to_string).unwrap_or_default();
    let shown: String = item.chars().take(ROW_SHOWN).collect();
    wrong(format!(
        "the cursor {template:?} is null in row {} of {count}, {shown}; it stays where the rows \
         before have put it",
        number + 1
    ))
}

fn wrong(message: String) -> TickWarning {
    TickWarning { partition: None, code: ErrorCode::SensorAnswer, message }
}
