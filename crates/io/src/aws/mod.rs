//! AWS: functions that are invoked, and objects that results are kept in.
//!
//! The worker calls [`invoke`] and [`put_object`] with every template resolved. Who asks and where
//! a service is comes from `outbound`'s [`Aws`](millstream_outbound::Aws).

mod answer;
mod error;
mod invoke;
mod object;

pub use error::LambdaError;
pub use invoke::{FunctionCall, Invocation, Wait, invoke};
pub use object::{ObjectError, StoredObject, put_object};
