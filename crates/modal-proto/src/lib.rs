//! The part of Modal's gRPC API that Moorline uses, as Rust types.
//!
//! The `.proto` files beside this crate are our own text: one a resource, holding just the messages and
//! fields that the client and the emulator use. Names and numbers are facts of the wire (PyPI `modal`
//! 1.6.4); `cargo xtask gen --check` compares each of them with the descriptors in the official package.
//!
//! Deliberately absent: anything hand-written on top. Clients use `moorline-modal-client`.

/// Package `modal.client`: the control plane.
#[allow(clippy::all, clippy::pedantic, reason = "generated")]
pub mod client {
    tonic::include_proto!("modal.client");
}

/// Package `modal.task_command_router`: what a running sandbox is told directly.
#[allow(clippy::all, clippy::pedantic, reason = "generated")]
pub mod router {
    tonic::include_proto!("modal.task_command_router");
}
