//! What templates do to a value: the filters beside minijinja's own, and how a value is put into a
//! text that is a language of its own.
//!
//! Used by [`super::template`] alone.
//!
//! **Invariant.** No value becomes a command of the shell, a statement of SQL or another part of an
//! address, unless a filter has made it safe.

use millstream_io::quote_identifier;
use millstream_model::filling::{text_of, write};
use minijinja::value::Value;
use minijinja::{Error, ErrorKind, Output, State};

use super::quotes;

/// `MyApp.FetchData` as `my_app_fetch_data`.
pub(super) fn snake(text: &str) -> String {
    let mut snake = String::new();
    let mut previous = '_';
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let ends_capitals =
            previous.is_uppercase() && characters.peek().is_some_and(|next| next.is_lowercase());
        let begins_word = previous.is_lowercase() || previous.is_ascii_digit() || ends_capitals;
        if character.is_uppercase() && begins_word {
            snake.push('_');
        }
        if character.is_alphanumeric() {
            snake.extend(character.to_lowercase());
        } else if !snake.ends_with('_') && !snake.is_empty() {
            snake.push('_');
        }
        previous = character;
    }
    snake.trim_end_matches('_').to_owned()
}

/// The text as the name of a table or column in SQL.
pub(super) fn identifier(text: &str) -> Result<Value, Error> {
    quote_identifier(text)
        .map(Value::from_safe_string)
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
}

/// The text as one word of the shell, whatever is in it.
pub(super) fn shell_quoted(text: &Value) -> Result<Value, Error> {
    Ok(Value::from_safe_string(format!("'{}'", text_of(text)?.replace('\'', "'\\''"))))
}

/// Puts a value into a line for the shell.
pub(super) fn for_shell(
    output: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    let is_word =
        |text: &str| text.chars().all(|c| c.is_alphanumeric() || "_-./:=@%+,".contains(c));
    if is_harmless(value, is_word)? {
        return write_marked(output, state, value);
    }
    let detail = format!(
        "the shell would read more than a word into {:?}; write the command as a list, or use the \
         filter `shell` (without quotes around it)",
        text_of(value)?
    );
    Err(Error::new(ErrorKind::InvalidOperation, detail))
}

/// Puts a value into a statement of SQL.
pub(super) fn for_sql(
    output: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    let is_name = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if value.is_number() || is_harmless(value, is_name)? {
        return write_marked(output, state, value);
    }
    let detail = format!(
        "{:?} is pasted into a statement; bind it as a parameter (`:tenant`, `:partition_key` or \
         one under `params`), or use the filter `identifier` for a name",
        text_of(value)?
    );
    Err(Error::new(ErrorKind::InvalidOperation, detail))
}

/// Puts a value into the path of an address, as one part of it.
pub(super) fn for_path(
    output: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    if value.is_undefined() {
        return write(output, state, value);
    }
    let text = text_of(value)?;
    if matches!(&*text, "." | "..") {
        let detail = format!("{text:?} would lead out of the path");
        return Err(Error::new(ErrorKind::InvalidOperation, detail));
    }
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            write!(output, "{}", char::from(byte))?;
        } else {
            write!(output, "%{byte:02X}")?;
        }
    }
    Ok(())
}

/// Puts a value into a text that says where something is.
pub(super) fn for_setting(
    output: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    if !value.is_none() {
        return write(output, state, value);
    }
    let tenant = state.lookup("tenant").map(|tenant| tenant.to_string());
    let detail = format!(
        "what it names is null for the tenant {}; set it, or write what takes its place, as in \
         `{{{{ tenant.schema_name | default(tenant.id) }}}}`",
        tenant.unwrap_or_default()
    );
    Err(Error::new(ErrorKind::InvalidOperation, detail))
}

/// Puts `value` into a text; what a filter has quoted between marks, because the quotes hold only
/// where no others are open.
fn write_marked(
    output: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    if !value.is_safe() {
        return write(output, state, value);
    }
    let text = text_of(value)?;
    if text.contains([quotes::BEGIN, quotes::END]) {
        let detail = format!("{text:?} has a character that is no text (U+FDD0 or U+FDD1)");
        return Err(Error::new(ErrorKind::InvalidOperation, detail));
    }
    write!(output, "{}", quotes::BEGIN)?;
    write(output, state, value)?;
    Ok(write!(output, "{}", quotes::END)?)
}

/// Whether `value` may stand in a text that is a language of its own: a filter has made it safe,
/// or nothing in it is special. Undefined values fail in the formatter itself.
fn is_harmless(value: &Value, is_plain: impl Fn(&str) -> bool) -> Result<bool, Error> {
    let text = text_of(value)?;
    Ok(value.is_safe() || value.is_undefined() || (!text.is_empty() && is_plain(&text)))
}
