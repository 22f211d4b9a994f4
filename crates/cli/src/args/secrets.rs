//! Arguments of `secrets …`.

use std::path::PathBuf;

use clap::Subcommand;

/// `secrets …`
#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// Say of each key that a job declares whether it is there
    #[command(after_help = "Examples:\n  moorline secrets check examples/bank-statement")]
    Check {
        /// The job directory.
        job: PathBuf,
    },
}
