//! Arguments of `sources …`.

use clap::{Args, Subcommand};

/// `sources …`
#[derive(Debug, Subcommand)]
pub enum SourcesCommand {
    /// List sources and their states
    #[command(after_help = "Examples:\n  moorline sources list\n  moorline sources list --json")]
    List,
    /// Show a source: its state, what reads it, and what has to be done before a schedule may
    #[command(
        after_help = "Examples:\n  moorline sources show example_bank\n  moorline sources show example_bank --json"
    )]
    Show {
        /// Its id.
        source: String,
    },
    /// Hold a source: no schedule starts a run of it, and its enabled schedules pause
    #[command(
        after_help = "Examples:\n  moorline sources pause example_bank --reason \"the bank maintains its site\"\n\nNo successful run undoes it; a person resumes the source. Pausing a paused one succeeds."
    )]
    Pause {
        /// Its id.
        source: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Say that a source may be read again; only a person may
    #[command(
        after_help = "Examples:\n  moorline sources resume example_bank --reason \"the site is back\"\n  moorline sources resume example_bank --looked-into --reason \"the key is rotated\"\n\nIts schedules stay as they are: enable or resume each when you are sure."
    )]
    Resume {
        /// Its id.
        source: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// You have looked into the leak; a quarantined source needs it
        #[arg(long)]
        looked_into: bool,
    },
    /// Refresh the session of a source, here, and try it; only a person can
    #[command(
        after_help = "Examples:\n  moorline sources reauth example_bank --lane prod\n  moorline sources reauth example_bank --lane prod < session.txt\n  moorline sources reauth example_bank --fresh\n\nShows what the job says, runs its command on this machine or asks for the session, keeps it\nas the lane's secret, and tries it with a run. Schedules stay as they are: enable each when\nyou are sure. When it is interrupted, the same command goes on where it stopped."
    )]
    Reauth(ReauthArgs),
}

/// Arguments of `sources reauth`.
#[derive(Debug, Args)]
pub struct ReauthArgs {
    /// Its id
    pub source: String,
    /// The secret that holds the session, where the source has several
    #[arg(long, value_name = "NAME")]
    pub secret: Option<String>,
    /// Sign on again, though a fresh session waits to be tried
    #[arg(long)]
    pub fresh: bool,
}
