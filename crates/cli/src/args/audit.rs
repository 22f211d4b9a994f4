//! Arguments of `audit …` and `explain …`.

use clap::Subcommand;

/// `audit …`
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Verify the hash chain from its first record
    #[command(after_help = "Examples:\n  moorline audit verify\n  moorline audit verify --json")]
    Verify,
}

/// `explain …`
#[derive(Debug, Subcommand)]
pub enum ExplainCommand {
    /// Why a run came out as it did
    #[command(
        after_help = "Examples:\n  moorline explain run latest\n  moorline explain run latest --json"
    )]
    Run {
        /// Id, a unique beginning of it, or `latest`.
        run: String,
    },
}
