//! Arguments of `artifact …`.

use clap::Subcommand;

/// `artifact …`
#[derive(Debug, Subcommand)]
pub enum ArtifactCommand {
    /// List artifacts
    #[command(after_help = "Examples:\n  moorline artifact list\n  moorline artifact list --json")]
    List,
}
