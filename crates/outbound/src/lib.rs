//! The one HTTP client: everything that leaves the process over HTTP goes through [`Client`].
//!
//! It bounds time and size, and a [guarded](Client::guarded) one reaches no address that its
//! [`AllowList`] does not allow, whatever names and redirects say. It does not know who calls or
//! what an answer means.

mod address;
mod allow;
mod aws;
mod client;
mod error;
mod follow;
mod locate;
mod names;
mod request;

pub use allow::{AllowError, AllowList};
pub use aws::{Aws, AwsError, AwsService, encoded};
pub use client::Client;
pub use error::OutboundError;
pub use locate::{Located, located, next_page};
pub use names::{Names, SystemNames};
pub use request::{Answer, Body, Limits, Method, Request, shown_url};
