//! Arguments of `config …`.

use clap::Subcommand;

/// `config …`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show every setting and where it comes from
    #[command(after_help = "Examples:\n  moorline config show\n  moorline config show --json")]
    Show,
}
