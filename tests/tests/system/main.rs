//! Whole-system tests, one binary: every one goes through the real `moorline` program.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and its helpers are test code too"
)]

mod crash;
mod docs;
mod hashes;
mod leaks;
mod modes;
mod names;
mod output;
mod process;
mod sandbox;
mod statements;
mod stop;
mod workflow;
