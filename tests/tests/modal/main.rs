//! Modal from outside: the official clients, unmodified, against the emulator; one binary.
//!
//! A scenario is an ordinary program for an official SDK, below `tests/modal/`. It is told where the
//! server is, as any user's program is, and asserts what it sees.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and its helpers are test code too"
)]

mod apps;
mod cli;
mod client;
mod coverage;
mod executor;
mod functions;
mod images;
mod javascript;
mod sandboxes;
mod secrets;
mod storage;
mod support;
mod vault;
