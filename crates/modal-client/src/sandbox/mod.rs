//! Sandbox.
mod definition;
mod egress;
mod secret;
mod spec;

pub use definition::MAX_COMMAND;
pub use egress::Egress;
pub use secret::SecretRef;
pub use spec::{Gpu, Port, Probe, Resources, SandboxSpec, VolumeAt};
