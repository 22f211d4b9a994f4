//! The `moorlined` binary. See `moorlined --help`.

fn main() {}
