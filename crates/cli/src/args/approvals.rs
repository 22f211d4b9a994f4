//! Arguments of `approvals …`.

use clap::{Args, Subcommand};

/// `approvals …`
#[derive(Debug, Subcommand)]
pub enum ApprovalsCommand {
    /// List requests for decisions, newest first
    #[command(
        after_help = "Examples:\n  moorline approvals list\n  moorline approvals list --status pending\n  moorline approvals list --run latest --json"
    )]
    List {
        /// Only in this status: `pending`, `approved`, `rejected`, `expired`, `auto_approved` or `withdrawn`
        #[arg(long, value_name = "STATUS")]
        status: Option<String>,
        /// Only of this run
        #[arg(long, value_name = "RUN")]
        run: Option<String>,
        /// Only of this job
        #[arg(long, value_name = "ID")]
        job: Option<String>,
        /// Only older than this request: the next page
        #[arg(long, value_name = "REQUEST")]
        before: Option<String>,
        /// At most this many
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: u32,
    },
    /// Show a request: what is asked, on what evidence, what can be chosen
    #[command(
        after_help = "Examples:\n  moorline approvals show latest\n  moorline approvals show 0198c2d4 --json"
    )]
    Show {
        /// Id, a unique beginning of it, or `latest`.
        approval: String,
    },
    /// Choose an option, once; the run goes on from there
    #[command(
        after_help = "Examples:\n  moorline approvals decide latest approved\n  moorline approvals decide 0198c2d4 iterate --feedback \"too broad: only small firms\"\n  moorline approvals decide 0198c2d4 segment_pivot --input segment='\"dentists\"' --version 1\n  moorline approvals decide 0198c2d4 approved --key release-42 --json\n\nThe same decision under the same key is answered again and changes nothing. A worker goes on with\nthe run; without one, `moorline runs wait RUN` does."
    )]
    Decide(ApprovalDecideArgs),
    /// Make a link by which one person decides one request, once
    #[command(
        after_help = "Examples:\n  moorline approvals link latest --to human:ada\n  moorline approvals link 0198c2d4 --to human:ada --minutes 60 --json\n\nWhoever has the link can use it: send it to nobody else. It is shown once."
    )]
    Link {
        /// The request: id, a unique beginning of it, or `latest`.
        approval: String,
        /// Who decides by it, e.g. `human:ada`
        #[arg(long, value_name = "PRINCIPAL")]
        to: String,
        /// For how many minutes it holds [default: a day]
        #[arg(long, value_name = "N")]
        minutes: Option<u32>,
    },
}

/// Arguments of `approvals decide`.
#[derive(Debug, Args)]
pub struct ApprovalDecideArgs {
    /// The request, or the run that waits for it: id, a unique beginning of it; `latest` is the newest request
    #[arg(value_name = "REQUEST_OR_RUN")]
    pub subject: String,
    /// What is chosen: one of the options that `approvals show` names
    pub option: String,
    /// The checkpoint that it must be of
    #[arg(long, value_name = "NAME")]
    pub checkpoint: Option<String>,
    /// Words for those who come after; some options want them
    #[arg(long, value_name = "TEXT")]
    pub feedback: Option<String>,
    /// What the option asks for (repeatable); JSON, or plain text
    #[arg(long = "input", value_name = "KEY=JSON")]
    pub inputs: Vec<String>,
    /// Only while the request is at this version: the one that you saw
    #[arg(long, value_name = "N")]
    pub version: Option<u64>,
    /// What you call this decision; the same key gives the same answer
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
}
