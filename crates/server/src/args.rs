//! Arguments of `moorlined`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// The control plane of Moorline over HTTP, with live updates and a dashboard.
#[derive(Debug, Parser)]
#[command(
    name = "moorlined",
    version,
    about,
    long_about = "Serves the operations of Moorline over HTTP to many clients, drives the runs, starts what \
                  schedules ask for, and shows a dashboard. Any number of them may share one PostgreSQL.",
    after_help = "Examples:\n  moorlined\n  moorlined --state /srv/moorline --bind 127.0.0.1:8080\n  moorlined --set server.public_url=https://moorline.example.org\n  moorlined migrate --check\n\nIt needs a token for every request; the first one is made on the machine: `moorline tokens create NAME`.\nSIGTERM or SIGINT ends it: it stops to listen, answers what it has, and finishes the attempts that it\ndrives; a second signal leaves those to the next process.\n\nExit codes: 0 ended as told, 1 failure, 2 usage, 78 configuration.",
    args_conflicts_with_subcommands = false,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// How it serves.
    #[command(flatten)]
    pub serve: ServeArgs,
    /// Something else than serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// State directory [default: `.moorline`, found by walking up from here; env: `MOORLINE_STATE`]
    #[arg(long, global = true, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Set a key of the configuration, such as `server.body_limit_mb=32` (repeatable)
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Tell more on stderr: -v every request, -vv everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Form of what is told on stderr
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORM")]
    pub log_format: LogFormat,
}

/// How it serves.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Address and port to listen on, before what the configuration says; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT")]
    pub bind: Option<SocketAddr>,
    /// Serve only: drive no runs, start no schedules, send no alerts
    #[arg(long)]
    pub no_work: bool,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Something else than serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring the schema of the store up to date, or say whether it is
    #[command(
        after_help = "Examples:\n  moorlined migrate --check\n  moorlined migrate\n\nWith --check nothing is changed: exit 0 when nothing is left to do, 1 when something is.\nA server does the same when it starts; a step of its own is for those who deploy many."
    )]
    Migrate {
        /// Say what is left to do, and change nothing
        #[arg(long)]
        check: bool,
    },
}
