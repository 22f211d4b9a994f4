//! Arguments of `alerts …`.

use clap::Subcommand;

/// `alerts …`
#[derive(Debug, Subcommand)]
pub enum AlertsCommand {
    /// List alerts and their deliveries, newest first
    #[command(
        after_help = "Examples:\n  moorline alerts list\n  moorline alerts list --dead\n  moorline alerts list --json"
    )]
    List {
        /// Only those with a destination that was given up
        #[arg(long)]
        dead: bool,
        /// Only older than this alert: the next page
        #[arg(long, value_name = "ALERT")]
        before: Option<String>,
        /// At most this many
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: u32,
    },
    /// Show an alert and each of its deliveries
    #[command(
        after_help = "Examples:\n  moorline alerts show latest\n  moorline alerts show 0198c2d4 --json"
    )]
    Show {
        /// Id, a unique beginning of it, or `latest`.
        alert: String,
    },
    /// Send what is due now; `moorline work` does it all the time
    #[command(after_help = "Examples:\n  moorline alerts send")]
    Send,
    /// Send an alert again to where it was given up
    #[command(
        after_help = "Examples:\n  moorline alerts replay 0198c2d4\n  moorline alerts replay latest --destination ops --reason \"the receiver is back\""
    )]
    Replay {
        /// Id, a unique beginning of it, or `latest`.
        alert: String,
        /// Only to this destination
        #[arg(long, value_name = "NAME")]
        destination: Option<String>,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Send a test alert to a configured destination, once
    #[command(after_help = "Examples:\n  moorline alerts test ops")]
    Test {
        /// Its name in the settings.
        destination: String,
    },
}
