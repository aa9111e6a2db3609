//! The handlers that come with the product.

use millstream_model::{Builtin, ErrorCode, LocalStep};
use serde_json::Value;

use super::attempt::{Ending, Returned};
use super::context::Context;

/// Runs `builtin` for a step configured as `local`.
pub(super) fn run(
    builtin: Builtin,
    local: &LocalStep,
    context: Context,
) -> Result<Returned, Ending> {
    match builtin {
        Builtin::Noop => Ok(Returned::Value(Value::Null)),
        Builtin::Echo => Ok(Returned::Value(Value::Object(context.into_json()))),
        Builtin::Fail => {
            let text = local.config.get("error").and_then(Value::as_str);
            let message = text.unwrap_or("the handler was asked to fail").to_owned();
            Err(Ending::failed(ErrorCode::StepExit, message))
        }
    }
}
