//! Checking the cron expressions of schedules and of partitions.

use millstream_model::ErrorCode;

use crate::fields::Field;
use crate::finding::Findings;

/// The short forms of cron expressions.
const ALIASES: &[&str] =
    &["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

/// The cron expression in `field`, or `None` after reporting why it is none.
pub(crate) fn expression(field: &Field<'_>, findings: &mut Findings) -> Option<String> {
    let text = field.filled(findings)?;
    match check(&text) {
        Ok(()) => Some(text),
        Err(problem) => {
            let message = format!("`{}` is not a cron expression: {problem}", field.name);
            findings.error(ErrorCode::DefinitionCron, field.node.spot, message).help(
                "write five fields like `0 2 * * *` (minute, hour, day, month, weekday), six with \
                 seconds first, or one of @yearly, @monthly, @weekly, @daily and @hourly",
            );
            None
        }
    }
}

fn check(text: &str) -> Result<(), String> {
    let text = text.trim();
    if text.starts_with('@') {
        let is_known = ALIASES.contains(&text);
        return is_known.then_some(()).ok_or_else(|| format!("`{text}` is no alias"));
    }
    let count = text.split_whitespace().count();
    if !matches!(count, 5 | 6) {
        return Err(format!("it has {count} fields"));
    }
    text.parse::<croner::Cron>().map(|_| ()).map_err(|error| error.to_string())
}
