//! The operations of Moorline: one trait, [`ControlPlane`], with its requests, responses and error body.
//!
//! Whoever offers Moorline to people or programs is written once against this trait: the command line
//! over the engine in its own process, later an HTTP server over the same engine, and an HTTP client that
//! implements the trait for the command line's remote mode. [`Operation::ALL`] lists every operation, so
//! that a test can show that each has a command, a route and a row in the authorisation table.
//!
//! | module | what |
//! |---|---|
//! | [`control_plane`] | the trait |
//! | [`operation`] | the list of operations, with what each changes |
//! | [`types`] | requests and responses, with published schemas |
//! | [`error`] | the one error body |

pub mod control_plane;
pub mod error;
pub mod operation;
pub mod types;

pub use control_plane::ControlPlane;
pub use error::{ApiError, ErrorDetail};
pub use operation::Operation;
pub use types::*;
