//! Keeper, agent and file-system tool of the emulator's containers. Not for use by hand.

fn main() -> std::process::ExitCode {
    moorline_sandbox_tools::helper_main();
    std::process::ExitCode::from(64)
}
