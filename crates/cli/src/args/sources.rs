//! Arguments of `sources …`.

use clap::Subcommand;

/// `sources …`
#[derive(Debug, Subcommand)]
pub enum SourcesCommand {
    /// List sources and their states
    #[command(after_help = "Examples:\n  moorline sources list\n  moorline sources list --json")]
    List,
}
