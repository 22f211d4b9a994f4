//! Project automation, run as `cargo xtask COMMAND`.
//!
//! One file (or folder) per command: [`setup`], [`mod@test`], [`ci`], [`dist`], [`mutants`], `gen`, `wire`,
//! `bench`. The last three
//! link the product and are compiled with the feature `product` only; [`product`] says how they
//! start.
//! What a command prints is for people; machines read the exit code, the closing line of `test`
//! and the `--json` file of `bench`.

#[cfg(feature = "product")]
mod bench;
mod ci;
mod cli;
mod clock;
mod dist;
mod error;
#[cfg(feature = "product")]
mod r#gen;
mod mutants;
mod output;
mod product;
mod setup;
mod shell;
mod test;
mod upgrade;
#[cfg(feature = "product")]
mod wire;
mod workspace;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Arguments, Command};
use crate::error::Result;
use crate::workspace::Workspace;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result {
    let workspace = Workspace::locate()?;
    match command {
        Command::Setup => setup::run(&workspace),
        Command::Test(arguments) => test::run(&workspace, arguments),
        Command::Ci => ci::run(&workspace),
        Command::Dist => dist::run(&workspace),
        Command::Mutants(arguments) => mutants::run(&workspace, *arguments),
        Command::Upgrade => upgrade::run(&workspace),
        #[cfg(feature = "product")]
        Command::Gen(arguments) => r#gen::run(&workspace, *arguments),
        #[cfg(feature = "product")]
        Command::Wire(arguments) => wire::run(&workspace, arguments),
        #[cfg(feature = "product")]
        Command::Bench(arguments) => bench::run(&workspace, arguments),
        #[cfg(not(feature = "product"))]
        Command::Gen(_) | Command::Wire(_) => {
            product::run_gen(&workspace, std::env::args_os().skip(1))
        }
        #[cfg(not(feature = "product"))]
        Command::Bench(arguments) => {
            product::run_bench(&workspace, !arguments.no_build, std::env::args_os().skip(1))
        }
    }
}
