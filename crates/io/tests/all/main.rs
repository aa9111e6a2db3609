//! What `millstream-io` promises to the worker, on real files and databases.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what tests share fails as the tests themselves do"
)]

mod asset_manager;
mod files;
mod http;
mod kinds;
mod kinds_bench;
mod postgres;
#[expect(unreachable_pub, reason = "the file belongs to a library, which tests here cannot use")]
#[path = "../../../testkit/src/postgres.rs"]
mod postgres_url;
mod sqlite;
mod widen;
mod yaml;
