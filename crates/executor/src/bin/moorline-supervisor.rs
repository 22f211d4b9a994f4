//! The supervisor of one attempt of the local executor. Not for use by hand.

fn main() -> std::process::ExitCode {
    moorline_executor::local::helper_main();
    std::process::ExitCode::from(64)
}
