//! Arguments of `stop`, `release` and `emergency …`.

use clap::{Args, Subcommand};

/// Arguments of `stop`.
#[derive(Debug, Args)]
pub struct StopArgs {
    /// `all`, `run:ID`, `job:ID`, `source:ID` or `lane:NAME`
    #[arg(default_value = "all", value_name = "SCOPE")]
    pub scope: String,
    /// Why
    #[arg(
        long,
        default_value = "stopped on the command line",
        value_name = "TEXT"
    )]
    pub reason: String,
    /// Seconds between the polite signal and the kill
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    pub grace: f64,
    /// List the stops in force instead
    #[arg(long)]
    pub list: bool,
}

/// Arguments of `release`.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// What the stop covers
    #[arg(default_value = "all", value_name = "SCOPE")]
    pub scope: String,
    /// Why it is safe to run again
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// `emergency …`
#[derive(Debug, Subcommand)]
pub enum EmergencyCommand {
    /// List emergencies and how far each got
    #[command(
        after_help = "Examples:\n  moorline emergency list\n  moorline emergency list --json"
    )]
    List,
}
