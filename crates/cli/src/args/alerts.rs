//! Arguments of `alerts …`.

use clap::Subcommand;

/// `alerts …`
#[derive(Debug, Subcommand)]
pub enum AlertsCommand {
    /// List alerts and their deliveries
    #[command(after_help = "Examples:\n  moorline alerts list\n  moorline alerts list --json")]
    List,
}
