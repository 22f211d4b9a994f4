//! The small binary that runs inside the emulator's containers, and what it has in common with the emulator.

/// Becomes the helper that this process was started as, and never returns; or does nothing.
pub fn helper_main() {}
