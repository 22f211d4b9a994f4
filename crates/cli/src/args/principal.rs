//! Arguments of `principal …`.

use clap::{Args, Subcommand};

/// `principal …`
#[derive(Debug, Subcommand)]
pub enum PrincipalCommand {
    /// List principals and their roles
    #[command(
        after_help = "Examples:\n  moorline principal list\n  moorline principal list --json"
    )]
    List,
    /// Show a principal: its role, its keys, what it may do
    #[command(
        after_help = "Examples:\n  moorline principal show human:ada\n  moorline principal show agent:codex --json"
    )]
    Show {
        /// Who, as `kind:name`.
        principal: String,
    },
    /// Show who acts here
    #[command(
        after_help = "Examples:\n  moorline principal whoami\n  MOORLINE_PRINCIPAL=agent:codex moorline principal whoami"
    )]
    Whoami,
    /// Give a principal a role or a key, or retire a key
    #[command(
        after_help = "Examples:\n  moorline principal set human:bob --role approver --reason \"reviews with Ada\"\n  moorline principal set human:bob --retire-key \"$KEY\" --reason \"laptop was stolen\""
    )]
    Set(PrincipalSetArgs),
    /// Take role and keys from a principal; what it signed stays valid
    #[command(
        after_help = "Examples:\n  moorline principal remove human:bob --reason \"left the team\""
    )]
    Remove {
        /// Who, as `kind:name`.
        principal: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Make the key that whoever acts here signs with, or show the one that is there
    #[command(
        after_help = "Examples:\n  moorline principal keygen\n  moorline principal keygen --json\n\nThe private key is a file of yours (~/.config/moorline/keys, or MOORLINE_KEY) that nobody\nelse can read. It is registered at your first signature, or by an admin with\n`moorline principal set NAME --add-key KEY`."
    )]
    Keygen,
}

/// Arguments of `principal set`.
#[derive(Debug, Args)]
pub struct PrincipalSetArgs {
    /// Who, as `kind:name`
    pub principal: String,
    /// `viewer`, `operator`, `approver` or `admin`
    #[arg(long, value_name = "ROLE", required_unless_present_any = ["add_key", "retire_key"])]
    pub role: Option<String>,
    /// Register this public key
    #[arg(long, value_name = "KEY")]
    pub add_key: Option<String>,
    /// Retire this public key
    #[arg(long, value_name = "KEY")]
    pub retire_key: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}
