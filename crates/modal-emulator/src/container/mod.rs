//! What runs user code: containers of real local processes.
//!
//! [`Runtime::start`] makes a [`Container`]; [`Container::exec`] starts a [`Process`] in it, any number of
//! times. A container's file system is the machine's root, seen through a mask and below a private
//! writable layer; its processes have a process namespace and users of their own. Everything ends with
//! the container, and the container with the emulator.

mod birth;
mod error;
mod link;
mod log;
mod names;
mod network;
mod process;
mod runtime;
mod spec;

mod handle;

pub(crate) use error::ContainerError;
pub(crate) use handle::Container;
pub(crate) use log::Log;
pub(crate) use process::Process;
pub(crate) use runtime::{Runtime, RuntimeOptions};
pub(crate) use spec::{ContainerEnd, ContainerSpec, Exec, Exit, Limits, Mount, Network, Pty};

#[cfg(test)]
mod tests;
