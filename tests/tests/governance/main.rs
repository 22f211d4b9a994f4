//! Governance through the real binary: review, promotion, schedules, secrets, stops, alerts, the audit trail.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, and its helpers are test code too"
)]

mod artifacts;
mod audit;
mod denials;
mod drift;
mod emergency;
mod failures;
mod jobs;
mod lanes;
mod life;
mod operations;
mod schedules;
mod secrets;
mod session;
mod support;
