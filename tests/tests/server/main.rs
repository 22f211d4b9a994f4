//! The server as its users meet it: the real `moorlined`, real sockets, real clients.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::string_slice,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking, its helpers are test code too, and it waits by the real clock"
)]

mod auth;
mod browser;
mod conformance;
mod coverage;
mod denials;
mod draining;
mod fails_closed;
mod fuzz;
mod killed;
mod live;
mod openapi;
mod outage;
mod parked;
mod preconditions;
mod projects;
mod remote;
mod replicas;
mod seed_003;
mod serving;
mod support;
mod telemetry;
mod tls;
mod upgrade;
mod uploads;
mod validation;
mod walks;
