//! HTTP steps: what is asked of a service, page by page, and what its answers come to.
//!
//! The worker calls [`fetch`] with every template resolved and every secret in place. Where
//! requests may go is `outbound`'s business.
//!
//! **Invariant.** Nothing that is said here, as an error or a line of a log, holds a secret: what
//! an answer repeats of one is masked.

mod ask;
mod auth;
mod call;
mod error;
mod fetch;
mod mask;
mod page;
mod rows;

pub use auth::Authorization;
pub use call::{HttpCall, Pace};
pub use error::HttpError;
pub use fetch::{Fetched, HttpOutcome, fetch};
pub use mask::Mask;
