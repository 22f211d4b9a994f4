//! Arguments of `schedule …`, `gates …` and `work`.

use clap::{Args, Subcommand};

/// `schedule …`
#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// List schedules: where each stands and when it is due next
    #[command(
        after_help = "Examples:\n  moorline schedule list\n  moorline schedule list --lane prod --status enabled --json"
    )]
    List {
        /// Only of this source.
        #[arg(long, value_name = "ID")]
        source: Option<String>,
        /// Only in this state: `enabled`, `paused` or `disabled`.
        #[arg(long, value_name = "STATE")]
        status: Option<String>,
    },
    /// Show a schedule: state, since when, by whom, why, its gates, and its next times
    #[command(
        after_help = "Examples:\n  moorline schedule show prod/bank-statement\n  moorline schedule show bank-statement --lane prod --json"
    )]
    Show {
        /// `lane/job`, or the job alone.
        schedule: String,
    },
    /// Print the next times of a schedule, in its zone and in UTC
    #[command(
        after_help = "Examples:\n  moorline schedule next prod/bank-statement\n  moorline schedule next prod/bank-statement -n 10 --after 2026-03-28T00:00:00Z"
    )]
    Next {
        /// `lane/job`, or the job alone.
        schedule: String,
        /// How many.
        #[arg(short = 'n', long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
        count: u32,
        /// Only later than this (RFC 3339) [default: now].
        #[arg(long, value_name = "TIME")]
        after: Option<jiff::Timestamp>,
    },
    /// Enable a schedule: a person's decision, once every gate is met
    #[command(
        after_help = "Examples:\n  moorline schedule enable prod/bank-statement --reason \"first run checked\"\n\nA refusal names every gate that is not met; `moorline gates show` says how to pass each."
    )]
    Enable {
        /// `lane/job`, or the job alone.
        schedule: String,
        /// Why.
        #[arg(
            long,
            default_value = "enabled on the command line",
            value_name = "TEXT"
        )]
        reason: String,
    },
    /// Disable a schedule, those of a lane or a source, or all: always allowed, and done when it answers
    #[command(
        after_help = "Examples:\n  moorline schedule disable prod/bank-statement --reason \"wrong amounts\"\n  moorline schedule disable --source chase\n  moorline schedule disable --all"
    )]
    Disable {
        /// `lane/job`, or the job alone.
        #[arg(required_unless_present_any = ["all", "source", "of_lane"])]
        schedule: Option<String>,
        /// Every schedule.
        #[arg(long, conflicts_with_all = ["schedule", "source", "of_lane"])]
        all: bool,
        /// Those whose runs count for this source.
        #[arg(long, value_name = "ID", conflicts_with_all = ["schedule", "of_lane"])]
        source: Option<String>,
        /// Those of the lane that `--lane` names.
        #[arg(long, conflicts_with = "schedule")]
        of_lane: bool,
        /// Why.
        #[arg(
            long,
            default_value = "disabled on the command line",
            value_name = "TEXT"
        )]
        reason: String,
    },
    /// Let a paused schedule go on: a person's decision, without new gates
    #[command(
        after_help = "Examples:\n  moorline schedule resume prod/bank-statement --reason \"the bank is back\""
    )]
    Resume {
        /// `lane/job`, or the job alone.
        schedule: String,
        /// Why.
        #[arg(
            long,
            default_value = "resumed on the command line",
            value_name = "TEXT"
        )]
        reason: String,
    },
    /// Deploy an enabled schedule to Modal too, in the place of what was deployed of it
    #[command(
        after_help = "Examples:\n  moorline schedule deploy prod/bank-statement --reason \"second layer\"\n\nModal then calls a function of ours at the schedule's times. The function starts nothing: every\nstart passes the gate of this installation, which `moorline work` looks at."
    )]
    Deploy {
        /// `lane/job`, or the job alone.
        schedule: String,
        /// Why.
        #[arg(
            long,
            default_value = "deployed on the command line",
            value_name = "TEXT"
        )]
        reason: String,
    },
    /// Take a deployed schedule away from Modal: its app is stopped
    #[command(
        after_help = "Examples:\n  moorline schedule undeploy prod/bank-statement --reason \"not needed\""
    )]
    Undeploy {
        /// `lane/job`, or the job alone.
        schedule: String,
        /// Why.
        #[arg(
            long,
            default_value = "taken away on the command line",
            value_name = "TEXT"
        )]
        reason: String,
    },
    /// Compare schedules with what is deployed at Modal; exits with 1 when anything differs or can not be told
    #[command(
        after_help = "Examples:\n  moorline schedule drift\n  moorline schedule drift --lane prod --json"
    )]
    Drift,
    /// Start what the lane points to, now and once, and wait for its end
    #[command(after_help = "Examples:\n  moorline schedule run-now prod/bank-statement")]
    RunNow {
        /// `lane/job`, or the job alone.
        schedule: String,
    },
}

/// `gates …`
#[derive(Debug, Subcommand)]
pub enum GatesCommand {
    /// Show how each gate of a schedule stands, and on what evidence
    #[command(
        after_help = "Examples:\n  moorline gates show prod/bank-statement\n  moorline gates show prod/bank-statement --json"
    )]
    Show {
        /// `lane/job`, or the job alone in the lane of `--lane`.
        schedule: String,
    },
    /// Look whether the secrets of the artifact are configured in the lane, and record it
    #[command(after_help = "Examples:\n  moorline gates check-secrets prod/bank-statement")]
    CheckSecrets {
        /// `lane/job`, or the job alone in the lane of `--lane`.
        schedule: String,
    },
    /// Probe that the artifact reaches what it may and nothing else, and record it
    #[command(after_help = "Examples:\n  moorline gates probe-egress prod/bank-statement")]
    ProbeEgress {
        /// `lane/job`, or the job alone in the lane of `--lane`.
        schedule: String,
    },
    /// Record that you looked at a run of the artifact and found it as it should be
    #[command(
        after_help = "Examples:\n  moorline gates verify-run prod/bank-statement --run latest --note \"all 12 transactions are on the statement\""
    )]
    VerifyRun {
        /// `lane/job`, or the job alone in the lane of `--lane`.
        schedule: String,
        /// The run: id, a unique beginning of it, or `latest`.
        #[arg(long, value_name = "RUN")]
        run: String,
        /// What you saw.
        #[arg(long, default_value = "", value_name = "TEXT")]
        note: String,
    },
}

/// Arguments of `work`.
#[derive(Debug, Args)]
pub struct WorkArgs {
    /// One round: do what is due, drive what that started to its end, and exit
    #[arg(long)]
    pub once: bool,
    /// Exit when nothing is due and nothing runs
    #[arg(long, conflicts_with = "once")]
    pub until_idle: bool,
}
