//! The command router of a running sandbox.
