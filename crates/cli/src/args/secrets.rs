//! Arguments of `secrets …`. No value is ever an argument: arguments are seen by every process of the machine
//! and kept by shells.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `secrets …`
#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// List what is on record: names, keys, who set them, until when they hold; never a value
    #[command(
        after_help = "Examples:\n  moorline secrets list\n  moorline secrets list --lane prod --json"
    )]
    List,
    /// Set keys of a secret; values come from standard input or a prompt that does not echo
    #[command(
        after_help = "Examples:\n  moorline secrets set openai-api-key < key.txt\n  moorline secrets set chase-session --lane prod --key CHASE_COOKIE --ttl 72 --source chase < cookie.txt\n  moorline secrets set registry-auth --key REGISTRY_USERNAME --key REGISTRY_PASSWORD --dotenv < auth.env\n\nAt a terminal each key is asked for. Several keys of one pipe come as KEY=VALUE lines, with\n--dotenv. Keys that are not named stay as they are."
    )]
    Set(SecretSetArgs),
    /// Replace keys of a secret; refused where the value is the one that is there
    #[command(
        after_help = "Examples:\n  moorline secrets rotate openai-api-key < new-key.txt\n  moorline secrets rotate chase-session --lane prod --key CHASE_COOKIE --ttl 72 < cookie.txt"
    )]
    Rotate(SecretSetArgs),
    /// Say of each key that a job declares whether it is there
    #[command(
        after_help = "Examples:\n  moorline secrets check examples/bank-statement\n  moorline secrets check examples/bank-statement --lane prod"
    )]
    Check {
        /// The job directory.
        job: PathBuf,
    },
    /// Remove a secret, or all; runs that hold it are stopped first
    #[command(
        after_help = "Examples:\n  moorline secrets revoke openai-api-key --reason \"seen in a log\"\n  moorline secrets revoke --all --reason \"laptop was stolen\"\n  moorline secrets revoke --all --lane prod --reason \"contract ended\"\n\nWithout --lane, --all revokes the secrets of every lane. Revoke where they were issued as\nwell: whoever has a copy can use it until then."
    )]
    Revoke(SecretRevokeArgs),
    /// Compare what is kept with what is recorded and what jobs declare
    #[command(
        after_help = "Examples:\n  moorline secrets audit\n  moorline secrets audit --lane prod --json\n  moorline secrets audit --job examples/bank-statement\n\nEnds with 78 where anything differs, is missing or has expired. What can not be verified\n(Modal gives no values back) counts as different."
    )]
    Audit {
        /// A job to look at beside those that ran and those that lanes point to (repeatable).
        #[arg(long = "job", value_name = "DIR")]
        jobs: Vec<PathBuf>,
    },
}

/// Arguments of `secrets set` and `secrets rotate`.
#[derive(Debug, Args)]
pub struct SecretSetArgs {
    /// The secret as jobs declare it, with its type behind a hyphen: `chase-session`
    pub name: String,
    /// A key (environment variable) to set, repeatable [default: the name in upper case]
    #[arg(long = "key", value_name = "KEY")]
    pub keys: Vec<String>,
    /// Standard input holds KEY=VALUE lines, one for each key
    #[arg(long)]
    pub dotenv: bool,
    /// Hours for which it holds; its end is warned of
    #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..))]
    pub ttl: Option<u32>,
    /// Hours before the end at which to warn [default: 24]
    #[arg(long, value_name = "HOURS")]
    pub warn: Option<u32>,
    /// The source whose session it is
    #[arg(long, value_name = "ID")]
    pub source: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Refused: a value does not belong here
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    pub value: Option<String>,
    /// Refused: a value does not belong here
    #[arg(hide = true, allow_hyphen_values = true)]
    pub stray: Vec<String>,
}

/// Arguments of `secrets revoke`.
#[derive(Debug, Args)]
pub struct SecretRevokeArgs {
    /// The secret
    #[arg(required_unless_present = "all")]
    pub name: Option<String>,
    /// Every secret of the lane, or without --lane of every lane
    #[arg(long, conflicts_with = "name")]
    pub all: bool,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}
