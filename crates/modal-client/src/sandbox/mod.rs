//! Sandbox.
mod definition;
mod egress;
mod secret;
mod spec;

pub use definition::MAX_COMMAND;
pub(crate) use definition::check_object_name;
pub use egress::Egress;
pub use secret::{Secret, SecretEnv};
pub use spec::{Gpu, Port, Probe, Resources, SandboxSpec, VolumeAt};
