//! The one HTTP client: everything that leaves the process over HTTP goes through [`Client`].
//!
//! It bounds time and size and never follows a redirect, which could carry a token elsewhere. It
//! does not know who calls or what an answer means.

mod client;

pub use client::{Answer, Client, Limits, Method, OutboundError, Request};
