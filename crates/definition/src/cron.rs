//! Checking the cron expressions of schedules and of partitions.

use millstream_model::cron::CronSchedule;

use crate::fields::Field;
use crate::finding::Findings;

/// The cron expression in `field`, or `None` after reporting why it is none.
pub(crate) fn expression(field: &Field<'_>, findings: &mut Findings) -> Option<String> {
    let text = field.filled(findings)?;
    match CronSchedule::parse(&text) {
        Ok(schedule) => Some(schedule.as_str().to_owned()),
        Err(error) => {
            findings.error(error.code(), field.node.spot, error.to_string()).help(
                "write five fields like `0 2 * * *` (minute, hour, day, month, weekday), six with \
                 seconds first, or one of @yearly, @monthly, @weekly, @daily and @hourly",
            );
            None
        }
    }
}
