//! The `moorlined` binary. See `moorlined --help`.

use std::process::ExitCode;

use moorline_server::{Env, dispatch};

fn main() -> ExitCode {
    // An attempt's supervisor may be this very program; then this call does not return.
    moorline_executor::local::helper_main();
    dispatch(&Env::read())
}
