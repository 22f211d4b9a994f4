//! The local executor on real processes.

mod exits;
mod support;
