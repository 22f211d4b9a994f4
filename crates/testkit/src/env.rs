//! The environment variables by which `cargo xtask test` talks to the tests.
//!
//! Each is optional: under a plain `cargo test` none is set and every helper has its own default.

/// URL of a running PostgreSQL with the right to create databases, for example
/// `postgres://postgres@localhost/postgres?host=/var/tmp/moorline-postgres-1`. Without it each
/// test process that needs PostgreSQL starts a cluster of its own.
pub const POSTGRES_URL: &str = "MOORLINE_TEST_POSTGRES";

/// Directory in which [`coverage::record`](crate::coverage::record) leaves its marker files.
pub const COVERAGE_DIR: &str = "MOORLINE_COVERAGE_DIR";

/// How many times the crash harness kills `moorline`; `cargo xtask test --crash-kills N` sets it.
pub const CRASH_KILLS: &str = "MOORLINE_CRASH_KILLS";

/// A `moorline` of the schema before this one; `cargo xtask upgrade` builds it and sets this.
pub const OLDER: &str = "MOORLINE_TEST_OLDER";

/// The value of `name`, or `None` when it is unset, empty or not UTF-8.
///
/// ```
/// assert_eq!(moorline_testkit::env::read("MOORLINE_NO_SUCH_VARIABLE"), None);
/// ```
#[expect(
    clippy::disallowed_methods,
    reason = "the runner has no other channel to a test process; this is the one place that reads it"
)]
pub fn read(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The number of kills the crash harness shall make: [`CRASH_KILLS`], else `default`.
///
/// # Errors
///
/// The text of the variable when it is not a whole number, so that a typing error in a long run's
/// count does not become a short run.
pub fn crash_kills(default: u32) -> Result<u32, String> {
    match read(CRASH_KILLS) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .map_err(|_| format!("{CRASH_KILLS} is {text:?}, which is not a whole number")),
    }
}
