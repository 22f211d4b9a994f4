//! Arguments of `stop`, `release` and `emergency …`.

use clap::{Args, Subcommand};

/// Arguments of `stop`.
#[derive(Debug, Args)]
pub struct StopArgs {
    /// `all`, `run:ID`, `job:ID`, `source:ID`, `schedule:LANE/JOB` or `lane:NAME`
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
    /// Disable, stop, revoke, archive: everything, or one lane
    #[command(
        after_help = "Examples:\n  moorline emergency run --reason \"token leaked\"\n  moorline emergency run --lane prod --reason \"wrong amounts\" --grace 5\n  moorline emergency run --resume\n\nSteps, in this order: every schedule is disabled behind a stop; what runs is ended; every secret is\nrevoked; what is live is archived and published outputs are set aside. Nothing is deleted but secrets.\nEach step is recorded before the next one begins: a command that was interrupted is carried on by the\nnext one. Exits with 1 while something could not be reached. Afterwards everything stays stopped: see\n`moorline release`."
    )]
    Run(EmergencyArgs),
    /// List emergencies and how far each got
    #[command(
        after_help = "Examples:\n  moorline emergency list\n  moorline emergency list --json"
    )]
    List,
    /// Show what each step of an emergency did and could not reach
    #[command(
        after_help = "Examples:\n  moorline emergency show latest\n  moorline emergency show latest --json"
    )]
    Show {
        /// Id, a unique beginning of it, or `latest`
        #[arg(default_value = "latest")]
        id: String,
    },
}

/// Arguments of `emergency run`.
#[derive(Debug, Args)]
pub struct EmergencyArgs {
    /// Why
    #[arg(long, value_name = "TEXT", required_unless_present = "resume")]
    pub reason: Option<String>,
    /// Only this lane
    #[arg(long, value_name = "LANE", conflicts_with = "resume")]
    pub lane: Option<String>,
    /// Seconds between the polite signal and the kill
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    pub grace: f64,
    /// Carry an unfinished emergency on: the newest one, or that of an id
    #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = "")]
    pub resume: Option<String>,
}
