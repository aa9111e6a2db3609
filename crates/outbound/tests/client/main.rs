//! Clients against real servers: bounds, refused addresses, redirects and second tries.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what tests share fails as the tests themselves do"
)]

mod bounds;
mod guard;
mod service;
