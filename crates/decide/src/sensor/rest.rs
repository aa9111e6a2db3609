//! Which sensors rest while a job is off, and are not asked.

use millstream_model::{JobName, ScheduleTarget, SensorDef, SensorQuestion};

/// The job that all runs of a sensor with this cursor are of, if it rests while that is off.
pub fn resting_for<'a>(def: &'a SensorDef, cursor: Option<&str>) -> Option<&'a JobName> {
    let begins = cursor.is_none();
    let rests = match &def.question {
        // What answers may name other jobs, and keys of partitions have none.
        SensorQuestion::Own { .. } | SensorQuestion::PartitionSync(_) => false,
        // A tick without a cursor requests nothing: it says where the sensor begins.
        SensorQuestion::RunStatus { .. } | SensorQuestion::Asset { .. } => !begins,
        SensorQuestion::Files(files) => !begins || files.existing,
        SensorQuestion::Rows { .. } | SensorQuestion::Webhook(_) => true,
    };
    match &def.request.target {
        Some(ScheduleTarget::Job(job)) if rests => Some(job),
        _ => None,
    }
}
