//! What an attempt may use: the `limits` of a node or of an asset.

use millstream_model::{ByteSize, ErrorCode, StepConfig, StepLimits};

use crate::fields::{Field, Fields, parsed};
use crate::finding::Findings;
use crate::keys::steps::LIMITS;
use crate::timing;
use crate::tree::Value;

/// The least memory that a program can start with.
const MEMORY_MIN: ByteSize = ByteSize(4 << 20);

/// The most cores, processes and open files that a limit may name.
const CORES_MAX: u32 = 4_096;
const PROCESSES_MAX: u32 = 1 << 22;
const FILES_MAX: u32 = 1 << 20;

/// The least number of open files that a program can start with.
const FILES_MIN: u32 = 16;

/// The limits in `fields`, which are those of `step`; none where they say nothing.
pub(crate) fn of_step(
    fields: &Fields<'_>,
    step: Option<&StepConfig>,
    findings: &mut Findings,
) -> StepLimits {
    let Some(field) = fields.get("limits") else { return StepLimits::NONE };
    if let Some(step) = step.filter(|step| !step.has_processes()) {
        let message = format!("`limits` hold for processes, and `{}` steps have none", step.kind());
        findings
            .warning(ErrorCode::DefinitionValue, field.node.spot, message)
            .help("leave `limits` out; `timeout` bounds how long the step may take");
    }
    let Some(limits) = Fields::open(field.node, "`limits`", LIMITS.keys, findings) else {
        return StepLimits::NONE;
    };
    StepLimits {
        memory: limits.get("memory").and_then(|it| memory(&it, findings)),
        cpu: limits.get("cpu").and_then(|it| it.whole(1, CORES_MAX, findings)),
        cpu_time: limits
            .get("cpu_time")
            .and_then(|it| timing::longer_than_0(&it, "leave it out for no limit", findings)),
        processes: limits.get("processes").and_then(|it| it.whole(1, PROCESSES_MAX, findings)),
        open_files: limits
            .get("open_files")
            .and_then(|it| it.whole(FILES_MIN, FILES_MAX, findings)),
    }
}

fn memory(field: &Field<'_>, findings: &mut Findings) -> Option<ByteSize> {
    let size: ByteSize = match &field.node.value {
        Value::Text(text) => parsed(text, field.node.spot, findings)?,
        Value::Number(number) => parsed(&number.written, field.node.spot, findings)?,
        _ => {
            field.mistyped("a size like `512 MiB`", findings);
            return None;
        }
    };
    if size < MEMORY_MIN {
        let message = format!("`memory` is {size}, with which no program can start");
        findings
            .error(ErrorCode::DefinitionValue, field.node.spot, message)
            .help(format!("write at least {MEMORY_MIN}, like `512 MiB`"));
        return None;
    }
    Some(size)
}
