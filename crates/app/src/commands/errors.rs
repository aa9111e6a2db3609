//! `millstream errors`: the page of an error code, or what each code says.

use millstream_model::{ErrorCode, nearest};

use super::error_pages::page;
use crate::error::AppError;
use crate::output;

/// Prints the page of `code`, or all codes with their first sentences.
pub(super) fn run(code: Option<&str>, is_json: bool) -> Result<(), AppError> {
    let Some(text) = code else {
        list(is_json);
        return Ok(());
    };
    let known = ErrorCode::ALL.iter().find(|code| code.as_str() == text);
    let code = *known.ok_or_else(|| unknown(text))?;
    if is_json {
        let page = page(code);
        output::json(&serde_json::json!({ "code": code, "says": says(page), "page": page }));
    } else {
        output::line(page(code).trim_end());
    }
    Ok(())
}

fn list(is_json: bool) {
    let mut codes = ErrorCode::ALL.to_vec();
    codes.sort_by_key(|code| code.as_str());
    if is_json {
        let row = |code: &ErrorCode| serde_json::json!({ "code": code, "says": says(page(*code)) });
        output::json(&codes.iter().map(row).collect::<Vec<_>>());
        return;
    }
    let rows = codes.iter().map(|code| vec![code.to_string(), says(page(*code)).to_owned()]);
    output::table(&["CODE", "SAYS"], &rows.collect::<Vec<_>>());
}

/// The first sentence of a page, below its title.
fn says(page: &str) -> &str {
    page.lines().skip(1).find(|line| !line.is_empty()).unwrap_or_default()
}

fn unknown(text: &str) -> AppError {
    let way_out = match nearest(text, ErrorCode::ALL.iter().map(|code| code.as_str())) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`millstream errors` lists them".to_owned(),
    };
    let message = format!("no error has the code `{text}`; {way_out}");
    AppError::Usage { code: ErrorCode::BadRequest, message }
}
