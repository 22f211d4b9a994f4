//! The `moorline` binary. See `moorline --help`.

use std::process::ExitCode;

use moorline::{Env, dispatch};

fn main() -> ExitCode {
    // An attempt's supervisor may be this very program; then this call does not return.
    moorline_executor::local::helper_main();
    // Or the helper of an emulated container.
    moorline_sandbox_tools::helper_main();
    dispatch(&Env::read())
}
