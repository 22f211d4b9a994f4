//! Arguments of `principal …`.

use clap::Subcommand;

/// `principal …`
#[derive(Debug, Subcommand)]
pub enum PrincipalCommand {
    /// List principals and their roles
    #[command(
        after_help = "Examples:\n  moorline principal list\n  moorline principal list --json"
    )]
    List,
}
