//! The commands and their arguments.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Project automation of Moorline.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Install what the tests need, on Debian as root; elsewhere say what to install.
    Setup,
    /// Set up, build, and run every test there is; ends with one line that counts them.
    Test(TestArguments),
    /// Everything a change has to pass: format, lints, docs, dependencies, generated files, tests.
    Ci,
    /// Build the programs as they are shipped, static, below target/dist.
    Dist,
    /// Put seeded faults into a copy of the source; the tests of the invariants must notice each.
    Mutants(MutantsArguments),
    /// Build the program before this one, and run the tests of upgrades beside it; takes minutes.
    Upgrade,
    /// Write the generated files, or check that they are current.
    Gen(GenArguments),
    /// Compare our files of Modal's protocol with the official package.
    Wire(WireArguments),
    /// Measure, on a release build, beside the floors of this machine.
    Bench(BenchArguments),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TestArguments {
    /// Kill `moorline` this many times in the crash harness, instead of a few.
    #[arg(long, value_name = "N")]
    pub(crate) crash_kills: Option<u32>,
    /// Profile of .config/nextest.toml.
    #[arg(long, default_value = "default")]
    pub(crate) profile: String,
    /// Run the Rust tests with plain `cargo test`, even where cargo-nextest is installed.
    #[arg(long)]
    pub(crate) no_nextest: bool,
    /// For the Rust test runner; see its `--help`.
    #[arg(last = true)]
    pub(crate) passed_on: Vec<String>,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct MutantsArguments {
    /// Only the faults that break this invariant, 1 to 16.
    #[arg(long, value_name = "N")]
    pub(crate) only: Option<u32>,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct GenArguments {
    /// Write nothing; fail when a file is not current.
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct WireArguments {
    /// Also print what this version of the package `modal` changed.
    #[arg(long, value_name = "VERSION")]
    pub(crate) against: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BenchArguments {
    /// How often to go through all rows.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Only rows whose id contains this, and the floors they are compared with.
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,
    /// Also write the rows to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Measure the release build that is there already.
    #[arg(long)]
    pub(crate) no_build: bool,
}
