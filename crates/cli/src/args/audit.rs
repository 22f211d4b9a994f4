//! Arguments of `audit …` and `explain …`.

use std::path::PathBuf;

use clap::Subcommand;

/// `audit …`
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List records, newest first
    #[command(
        after_help = "Examples:\n  moorline audit list\n  moorline audit list --operation artifact.approve --actor human:ada\n  moorline audit list --subject run/ --since 2026-03-01 --limit 20 --json\n  moorline audit list --before 120"
    )]
    List {
        /// Only of this operation, e.g. `run.submit`.
        #[arg(long, value_name = "NAME")]
        operation: Option<String>,
        /// Only by this principal, as `kind:name`.
        #[arg(long, value_name = "WHO")]
        actor: Option<String>,
        /// Only of this subject, e.g. `run/0190…`; with a `/` at its end, of all of that kind.
        #[arg(long, value_name = "SUBJECT")]
        subject: Option<String>,
        /// Only since then: a date, or a time as in RFC 3339 (UTC without an offset).
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Only before then.
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Only older than this record: the next page.
        #[arg(long, value_name = "ID")]
        before: Option<u64>,
        /// At most this many, up to 1000.
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: u32,
    },
    /// Verify the hash chain from its first record, in the store or in an exported file
    #[command(
        after_help = "Examples:\n  moorline audit verify\n  moorline audit verify --json\n  moorline audit export --out audit.jsonl && moorline audit verify --file audit.jsonl\n\nThe head that it prints, kept elsewhere and given with --head, also shows a chain that was\nrewritten as a whole. Exits with 1 and names the record when something does not fit. With\n--file it needs no state directory."
    )]
    Verify {
        /// A file that `audit export` wrote; `-` for stdin.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// A head that was noted earlier, which the chain must still have.
        #[arg(long, value_name = "HASH")]
        head: Option<String>,
    },
    /// Write the whole trail as JSON Lines, to keep and to verify elsewhere
    #[command(
        after_help = "Examples:\n  moorline audit export --out audit.jsonl\n  moorline audit export --out - | head -n 1\n\nThe first line tells how many records follow and the head of the chain. The same trail gives\nthe same bytes."
    )]
    Export {
        /// The file, which is replaced once the new one is whole; `-` for stdout.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// `explain …`
#[derive(Debug, Subcommand)]
pub enum ExplainCommand {
    /// Why a run came out as it did
    #[command(
        after_help = "Examples:\n  moorline explain run latest\n  moorline explain run latest --json"
    )]
    Run {
        /// Id, a unique beginning of it, or `latest`.
        run: String,
    },
    /// Why an operation was refused, and how it stands now
    #[command(
        after_help = "Examples:\n  moorline explain refusal latest\n  moorline explain refusal 0198c2d4 --json\n\nThe hint of a refused command names its id. The newest 10000 refusals of the last 30 days\nare kept."
    )]
    Refusal {
        /// Id, a unique beginning of it, or `latest`.
        refusal: String,
    },
    /// Why a schedule starts something, or does not
    #[command(
        after_help = "Examples:\n  moorline explain schedule prod/bank-statement\n  moorline --lane prod explain schedule bank-statement --json"
    )]
    Schedule {
        /// `lane/job`, or the job alone in the lane of `--lane`.
        schedule: String,
    },
    /// What a rule demands
    #[command(after_help = "Examples:\n  moorline explain rule D-ART-4")]
    Rule {
        /// Its id, as errors cite it.
        rule: String,
    },
}
