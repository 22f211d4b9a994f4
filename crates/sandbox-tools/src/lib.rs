//! The small binary of the Modal emulator's containers, and what it has in common with the emulator.
//!
//! One file plays several roles, by its name or its first argument ([`helper_main`]):
//!
//! | role | where | what it does |
//! |---|---|---|
//! | keeper | on the machine, in mounts of its own | builds the container's root, keeps its mounts, maps its users |
//! | agent | process 1 of the container | starts processes, reaps orphans, connects to ports |
//! | runner | one for each process that was asked for | is its parent: terminal, signals, its whole tree's end |
//! | tool | anywhere in the container | Modal's file-system API: one operation, as JSON in its argument |
//!
//! The emulator, keeper, agent and runners talk over inherited sockets ([`wire`], [`frame`]): nothing in
//! the container has a name for them, and nothing secret is in an argument list. When the emulator's ends
//! close, all of it ends.
//!
//! Deliberately absent: what a container should hold and when; that is the emulator's.

mod agent;
pub mod base;
mod caps;
mod channel;
mod copy;
pub mod files;
pub mod frame;
mod freeze;
mod inherited;
mod keeper;
mod net;
mod runner;
mod session;
pub mod wire;

use std::ffi::OsStr;
use std::path::Path;

/// The file name by which the tool is called, inside and outside.
pub const TOOL_NAME: &str = "modal-sandbox-fs-tools";

/// Where the binary is inside a container: the path that Modal's clients call.
pub const TOOL_PATH: &str = "/__modal/.bin/modal-sandbox-fs-tools";

/// First argument of the keeper.
pub const KEEPER: &str = "__moorline-keeper";

/// First argument of the agent.
pub(crate) const AGENT: &str = "__moorline-agent";

/// First argument of a runner.
pub(crate) const RUNNER: &str = "__moorline-runner";

/// First argument of what makes a terminal its own and then becomes the program.
pub(crate) const SESSION: &str = "__moorline-session";

/// Becomes what this process was started as, and never returns; or does nothing, when it was started as
/// something else.
///
/// It must be called before any thread is started and before anything is read from standard input.
pub fn helper_main() {
    let mut arguments = std::env::args_os();
    let name = arguments.next();
    let first = arguments.next();
    let role: fn() -> i32 = match first.as_deref().and_then(OsStr::to_str) {
        Some(KEEPER) => keeper::main,
        Some(AGENT) => agent::main,
        Some(RUNNER) => runner::main,
        Some(SESSION) => session::main,
        _ if is_tool(name.as_deref()) => files::main,
        _ => return,
    };
    let code = role();
    #[expect(
        clippy::exit,
        reason = "the process was started for this and nothing else"
    )]
    std::process::exit(code);
}

fn is_tool(name: Option<&OsStr>) -> bool {
    name.map(Path::new).and_then(Path::file_name) == Some(OsStr::new(TOOL_NAME))
}
