//! Arguments of `login`, `logout` and `contexts …`.

use clap::{Args, Subcommand};

/// Arguments of `login`.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// The server's address
    #[arg(value_name = "URL")]
    pub url: String,
    /// What the context is called [default: made from the address]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

/// Arguments of `logout`.
#[derive(Debug, Args)]
pub struct LogoutArgs {
    /// The context [default: the one in use]
    pub name: Option<String>,
}

/// `contexts …`
#[derive(Debug, Subcommand)]
pub enum ContextsCommand {
    /// List the servers that you are logged in to
    #[command(after_help = "Examples:\n  moorline contexts list\n  moorline contexts list --json")]
    List,
    /// Work with a server from now on, or with this machine again
    #[command(
        after_help = "Examples:\n  moorline contexts use acme\n  moorline contexts use --local"
    )]
    Use {
        /// The context.
        #[arg(required_unless_present = "local")]
        name: Option<String>,
        /// No server: the state directory of this machine.
        #[arg(long, conflicts_with = "name")]
        local: bool,
    },
    /// Show what a command would work with here, and why
    #[command(after_help = "Examples:\n  moorline contexts show\n  moorline contexts show --json")]
    Show,
}
