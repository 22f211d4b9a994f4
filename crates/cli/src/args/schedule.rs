//! Arguments of `schedule …`, `gates …` and `work`.

use clap::{Args, Subcommand};

/// `schedule …`
#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// List schedules
    #[command(after_help = "Examples:\n  moorline schedule list\n  moorline schedule list --json")]
    List,
}

/// `gates …`
#[derive(Debug, Subcommand)]
pub enum GatesCommand {
    /// Show how each gate of a schedule stands, and on what evidence
    #[command(after_help = "Examples:\n  moorline gates show prod/bank-statement")]
    Show {
        /// `lane/job`, or the job alone in the lane of `--lane`.
        schedule: String,
    },
}

/// Arguments of `work`.
#[derive(Debug, Args)]
pub struct WorkArgs {}
