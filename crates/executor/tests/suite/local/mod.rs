//! The local executor on real processes. Tests of sandboxes need bubblewrap, and fail without it.

mod adopt;
mod argv;
mod cancel;
mod exits;
mod isolation;
mod limits;
mod output;
mod reach;
mod sandbox;
mod secrets;
pub(crate) mod support;
