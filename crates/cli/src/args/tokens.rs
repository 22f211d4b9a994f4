//! Arguments of `tokens …`.

use clap::{Args, Subcommand};

/// `tokens …`
#[derive(Debug, Subcommand)]
pub enum TokensCommand {
    /// Make a token; its text is printed once and kept nowhere
    #[command(
        after_help = "Examples:\n  moorline tokens create laptop > token\n  moorline tokens create first --local\n  moorline tokens create ci --principal ci:github --role operator --scope 'run.*' --days 90\n  moorline tokens create phone --principal human:bob --scope approval.list --scope approval.decide --json\n\nWhoever shows the text is the principal, with the lesser of the token's role and theirs. Nothing but\na hash of it is kept, so a text that is lost is replaced: make another, and revoke this one.\nWhat is said last is where it was made: a server that is in use makes its own (`--local`, `--state` and\n`--project` mean this machine)."
    )]
    Create(TokenCreateArgs),
    /// List tokens, newest first; never a text
    #[command(
        after_help = "Examples:\n  moorline tokens list\n  moorline tokens list --principal human:bob --all --json"
    )]
    List {
        /// Only those of this principal, e.g. `human:ada`
        #[arg(long, value_name = "PRINCIPAL")]
        principal: Option<String>,
        /// Sessions of browsers and links too
        #[arg(long)]
        all: bool,
    },
    /// End a token and the sessions that were made from it, at once; ending it again succeeds
    #[command(
        after_help = "Examples:\n  moorline tokens revoke 0198c2d4 --reason \"laptop was stolen\"\n  moorline tokens revoke 0198c2d4 --json"
    )]
    Revoke {
        /// Its id, or a unique beginning of eight characters or more; never its text.
        token: String,
        /// Why.
        #[arg(
            long,
            default_value = "revoked on the command line",
            value_name = "TEXT"
        )]
        reason: String,
    },
}

/// Arguments of `tokens create`.
#[derive(Debug, Args)]
pub struct TokenCreateArgs {
    /// What to call it, best after where it is used
    pub name: String,
    /// Who whoever shows it is, e.g. `ci:github` [default: who acts here]
    #[arg(long, value_name = "PRINCIPAL")]
    pub principal: Option<String>,
    /// The most that it permits: `viewer`, `operator`, `approver` or `admin` [default: what its principal may do]
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// An operation that it permits, e.g. `run.get`, or an area, e.g. `run.*` (repeatable) [default: all]
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// For how many days it holds, at most 366 [default: 30]
    #[arg(long, value_name = "N")]
    pub days: Option<u32>,
    /// Make it on this machine, whatever server is in use
    #[arg(long)]
    pub local: bool,
    /// Why
    #[arg(long, default_value = "made on the command line", value_name = "TEXT")]
    pub reason: String,
}
