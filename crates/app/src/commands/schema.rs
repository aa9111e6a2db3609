//! `millstream schema`: the JSON Schema of definition files.

use millstream_definition::{schema, schema_names, schema_of};
use millstream_model::{ErrorCode, nearest};

use crate::error::AppError;
use crate::output;

/// Prints the schema, or the part of it that is called `kind`.
pub(super) fn run(kind: Option<&str>) -> Result<(), AppError> {
    let Some(kind) = kind else {
        output::json(&schema());
        return Ok(());
    };
    match schema_of(kind) {
        Some(part) => {
            output::json(&part);
            Ok(())
        }
        None => Err(unknown(kind)),
    }
}

fn unknown(kind: &str) -> AppError {
    let names = schema_names();
    let way_out = match nearest(kind, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it is one of {}", names.join(", ")),
    };
    let message = format!("nothing in a definition file is called `{kind}`; {way_out}");
    AppError::Usage { code: ErrorCode::BadRequest, message }
}
