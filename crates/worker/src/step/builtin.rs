//! The handlers that come with the product.

use millstream_model::{Builtin, ErrorCode};
use serde_json::Value;

use super::attempt::{Ending, Returned};
use super::context::Context;

/// Runs `builtin`.
pub(super) fn run(builtin: Builtin, context: Context) -> Result<Returned, Ending> {
    match builtin {
        Builtin::Noop => Ok(Returned::Value(Value::Null)),
        Builtin::Echo => Ok(Returned::Value(Value::Object(context.into_json()))),
        Builtin::Fail => {
            let config = context.json().get("config");
            let text = config.and_then(|config| config.get("error")).and_then(Value::as_str);
            let message = text.unwrap_or("the handler was asked to fail").to_owned();
            Err(Ending::failed(ErrorCode::StepExit, message))
        }
    }
}
