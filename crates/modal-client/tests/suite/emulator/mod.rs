//! The client against the emulator: what it does, what it survives, and that nothing is lost or applied
//! twice by the emulator's own journal of effects.

mod faults;
mod sandboxes;
mod support;
mod volumes;
