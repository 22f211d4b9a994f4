//! The command line of Moorline: one file a command, human and JSON output, over one `ControlPlane`.
//!
//! `main` reads the environment once and calls [`dispatch`]. A command gets a `Context`
//! and builds only what it needs: `app-name` starts no runtime and opens no store.

pub mod args;
pub mod commands;
mod configuration;
mod context;
mod contexts;
mod env;
mod error;
mod output;
mod progress;
mod remote;

use std::process::ExitCode;

use clap::Parser as _;

pub use env::Env;

/// Parses the arguments, runs the command, prints what it came to.
pub fn dispatch(env: &Env) -> ExitCode {
    let args = match args::Cli::try_parse_from(&env.args) {
        Ok(args) => args,
        Err(error) => return error::usage(&error, env),
    };
    let context = context::Context::new(env, &args.global);
    context.init_logging();
    match commands::run(&context, args.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => error::report(&context, &error),
    }
}
