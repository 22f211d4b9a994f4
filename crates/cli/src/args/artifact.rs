//! Arguments of `artifact …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `artifact …`
///
/// A REF is the id of an artifact, a unique beginning of it, a content id (`b3:…`), `latest`, `latest:JOB`,
/// or `live:JOB` (what the lane points to).
#[derive(Debug, Subcommand)]
pub enum ArtifactCommand {
    /// Submit a job directory for review; findings refuse it, all at once
    #[command(
        after_help = "Examples:\n  moorline artifact submit examples/bank-statement\n  moorline artifact submit examples/bank-statement --note \"reads OFX 2\" --json\n\nThe directory becomes an immutable artifact, named by its content: times and order of files\ndo not matter. The same content again is the artifact that it is already. Exit code 65 with\nfindings; nothing is kept then."
    )]
    Submit {
        /// The job directory, which holds `job_spec.json`.
        dir: PathBuf,
        /// What the reviewer should know.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Review a directory or an artifact by rule: layout, secrets, what changed; changes nothing
    #[command(
        after_help = "Examples:\n  moorline artifact review examples/bank-statement\n  moorline artifact review latest --json\n\nExit code 65 when something must be mended first."
    )]
    Review {
        /// A directory, or a REF.
        what: String,
    },
    /// List artifacts, newest first
    #[command(
        after_help = "Examples:\n  moorline artifact list\n  moorline artifact list --job bank-statement --status pending\n  moorline artifact list --json"
    )]
    List {
        /// Only of this job.
        #[arg(long, value_name = "ID")]
        job: Option<String>,
        /// Only in this state: `pending`, `revisions_requested`, `rejected`, `approved`, `superseded`, `archived`.
        #[arg(long, value_name = "STATE")]
        status: Option<String>,
        /// Only older than this one: the next page.
        #[arg(long, value_name = "ID")]
        before: Option<String>,
        /// At most this many.
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: u32,
    },
    /// Show an artifact: its state, what changed in it, what was decided, where it is live
    #[command(
        after_help = "Examples:\n  moorline artifact show latest\n  moorline artifact show live:bank-statement --lane prod --json"
    )]
    Show {
        /// A REF.
        artifact: String,
    },
    /// Compare two versions: permissions, dependencies, and the text of files
    #[command(
        after_help = "Examples:\n  moorline artifact diff latest\n  moorline artifact diff 0198c2d4 0198c3d4 --json\n\nOne REF is compared with what the lane points to, else with the last approved version;\nof two, the first one is the older."
    )]
    Diff {
        /// A REF: the older one of two, or the only one.
        a: String,
        /// A REF: the newer one.
        b: Option<String>,
    },
    /// Approve an artifact, signed with your key; a person's alone
    #[command(
        after_help = "Examples:\n  moorline artifact approve latest --reason \"read every file\"\n  moorline artifact approve b3:4fd2… --reason \"as discussed\" --json"
    )]
    Approve(DecisionArgs),
    /// Reject an artifact for good
    #[command(
        after_help = "Examples:\n  moorline artifact reject latest --reason \"reads more accounts than it says\""
    )]
    Reject(DecisionArgs),
    /// Ask for a changed submission
    #[command(
        after_help = "Examples:\n  moorline artifact request-changes latest --reason \"nearly there\" --change \"pin the image\" --change \"say in RISKS.md what a wrong total means\""
    )]
    RequestChanges {
        /// What and why.
        #[command(flatten)]
        decision: DecisionArgs,
        /// A change that is asked for (repeatable).
        #[arg(long = "change", value_name = "TEXT", required = true)]
        changes: Vec<String>,
    },
    /// Record that the changes in auth, dependencies, egress, secrets or tier were looked at, signed
    #[command(
        after_help = "Examples:\n  moorline artifact security-review latest --reason \"the new host is the bank's own\""
    )]
    SecurityReview(DecisionArgs),
    /// Set an approved artifact aside: no lane runs it any more
    #[command(
        after_help = "Examples:\n  moorline artifact archive latest --reason \"the bank closed its portal\""
    )]
    Archive(DecisionArgs),
    /// Point the lane to an approved artifact; repeating it changes nothing
    #[command(
        after_help = "Examples:\n  moorline artifact promote latest --lane prod --reason \"reviewed and tried in staging\"\n  moorline artifact promote latest:bank-statement --lane staging --reason \"to be tried\" --json"
    )]
    Promote(DecisionArgs),
    /// Point the lane back to an earlier version, exactly; its schedule stays disabled
    #[command(
        after_help = "Examples:\n  moorline artifact rollback bank-statement --lane prod --reason \"wrong totals\"\n  moorline artifact rollback bank-statement --to 0198c2d4 --lane prod --reason \"the last good one\""
    )]
    Rollback {
        /// The job.
        job: String,
        /// A REF: the version to go back to [default: the one before].
        #[arg(long, value_name = "REF")]
        to: Option<String>,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Show where lanes pointed for a job, oldest first
    #[command(
        after_help = "Examples:\n  moorline artifact history bank-statement\n  moorline artifact history bank-statement --lane prod --json"
    )]
    History {
        /// The job.
        job: String,
    },
    /// Hash the kept content anew and check every signature; needs no network
    #[command(
        after_help = "Examples:\n  moorline artifact verify latest\n  moorline artifact verify exported --json\n  moorline artifact verify exported --trust human:ada=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\nExit code 65 when a check does not hold."
    )]
    Verify {
        /// A REF, or a directory that `artifact export` wrote.
        what: String,
        /// A key that you know to be somebody's, beside the registered ones (repeatable).
        #[arg(long = "trust", value_name = "PRINCIPAL=KEY")]
        trusted: Vec<String>,
    },
    /// Write an artifact with its records into a new directory, to be verified elsewhere
    #[command(after_help = "Examples:\n  moorline artifact export latest --out exported")]
    Export {
        /// A REF.
        artifact: String,
        /// The directory to make.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Rebuild the tree that people look at, from the store
    #[command(after_help = "Examples:\n  moorline artifact project")]
    Project,
}

/// A decision.
#[derive(Debug, Clone, Args)]
pub struct DecisionArgs {
    /// A REF.
    pub artifact: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}
