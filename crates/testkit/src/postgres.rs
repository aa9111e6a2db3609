//! Where tests find their Postgres: the variable `TEST_POSTGRES_URL`.
//!
//! Called by the tests of every crate that talks to Postgres. It starts no server.

/// The URL of a Postgres that tests may fill, like `postgres://postgres@127.0.0.1:5433/postgres`.
///
/// Without one a test says so and passes, but not where `CI` is `true`.
///
/// # Panics
/// When `CI` is `true` and there is no URL.
#[expect(clippy::print_stderr, reason = "this is how a test says that it did not run")]
pub fn postgres_url() -> Option<String> {
    let url = std::env::var("TEST_POSTGRES_URL").ok().filter(|url| !url.is_empty());
    if url.is_none() {
        let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!is_ci, "TEST_POSTGRES_URL is not set, and CI runs every test");
        eprintln!("skipped: set TEST_POSTGRES_URL");
    }
    url
}
