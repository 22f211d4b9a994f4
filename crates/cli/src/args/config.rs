//! Arguments of `config …`.

use clap::Subcommand;

/// `config …`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show every setting and where it comes from
    #[command(
        after_help = "Examples:\n  moorline config show\n  moorline config show lanes.prod\n  moorline config show --json\n  moorline config show review --set review.two_person=true"
    )]
    Show {
        /// Only this key, and what is below it.
        key: Option<String>,
    },
    /// Print the value of one key
    #[command(
        after_help = "Examples:\n  moorline config get lanes.prod.requires_approval\n  moorline config get capacity --json"
    )]
    Get {
        /// The key, as `config show` writes it.
        key: String,
    },
    /// Print where the configuration files are, or would be
    #[command(after_help = "Examples:\n  moorline config path\n  moorline config path --json")]
    Path,
    /// Print the JSON Schema of a configuration file
    #[command(after_help = "Examples:\n  moorline config schema")]
    Schema,
    /// Check the configuration; reports every problem at once
    #[command(after_help = "Examples:\n  moorline config check\n  moorline config check --json")]
    Check,
}
