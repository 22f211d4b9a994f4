//! The 16 invariants, over random sequences of operations and actors.
