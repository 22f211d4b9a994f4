//! The states and commands, one by one and at random.
