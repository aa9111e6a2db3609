//! What is too large or too growing for the database: compute logs, large results and sources.
//!
//! [`Blobs`] names and reads them; the worker's supervisor appends to logs through [`LogWriter`],
//! the server reads them while they grow. It knows nothing of the rules of runs.
//!
//! **Invariant.** Every path is built by [`Blobs`] from encoded parts, so no step key, tenant or
//! reference can name a file outside of the root.

mod log;
mod part;
mod result;
mod source;
mod store;
mod sweep;

pub use log::{LOG_MAX, LogKey, LogPart, LogStream, LogTime, LogWriter};
pub use result::{RESULT_INLINE_MAX, RESULT_MAX, RESULT_WAYS, ResultKey};
pub use source::KeptSource;
pub use store::{BlobError, Blobs};
pub use sweep::{SOURCE_UNUSED, SweptSources};
