//! The local executor on real processes.

mod exits;
mod sandbox;
mod support;
mod withdraw;
