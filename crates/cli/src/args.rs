//! Arguments. Every command has examples; a test runs them.

mod alerts;
mod approvals;
mod artifact;
mod audit;
mod config;
mod contexts;
mod modal;
mod principal;
mod schedule;
mod secrets;
mod sources;
mod stop;
mod tokens;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use moorline_core::content_id::ContentId;

pub use alerts::AlertsCommand;
pub use approvals::{ApprovalDecideArgs, ApprovalsCommand};
pub use artifact::{ArtifactCommand, DecisionArgs};
pub use audit::{AuditCommand, ExplainCommand};
pub use config::ConfigCommand;
pub use contexts::{ContextsCommand, LoginArgs, LogoutArgs};
pub use modal::{
    AppCommand, EnvironmentCommand, ImageCommand, ModalArgs, ModalCommand, SandboxCommand,
    SecretCommand, VolumeCommand,
};
pub use principal::{PrincipalCommand, PrincipalSetArgs};
pub use schedule::{GatesCommand, ScheduleCommand, WorkArgs};
pub use secrets::{SecretRevokeArgs, SecretSetArgs, SecretsCommand};
pub use sources::{ReauthArgs, SourcesCommand};
pub use stop::{EmergencyArgs, EmergencyCommand, ReleaseArgs, StopArgs};
pub use tokens::{TokenCreateArgs, TokensCommand};

/// Deploy and operate jobs: reviewed, stoppable, audited.
#[derive(Debug, Parser)]
#[command(
    name = "moorline",
    version,
    about,
    long_about = "Runs jobs on this machine in a sandbox, or elsewhere through executors, governed from \
                  spec to summary. Everything that runs can be stopped at once.",
    after_help = "Examples:\n  moorline run examples/bank-statement\n  moorline runs list\n  moorline stop all --reason \"unsafe output\"\n\nExit codes: 0 success, 1 failure, 2 usage, 3 awaiting approval, 65 validation, 75 runtime,\n77 auth, 78 configuration or policy, 124 timed out, 130 cancelled, 137 killed.",
    infer_subcommands = false,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Print exactly one JSON document on stdout; everything else goes to stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// State directory [default: `.moorline`, found by walking up from here; env: `MOORLINE_STATE`]
    #[arg(long, global = true, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Work with a server instead of this machine [env: `MOORLINE_SERVER`; its token: `MOORLINE_TOKEN`]
    #[arg(long, global = true, value_name = "URL", conflicts_with = "context")]
    pub server: Option<String>,
    /// Work with the server of a context [default: the one that `moorline contexts use` says]
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Project whose state it is, where a server on this machine has several [default: `default`]
    #[arg(long, global = true, value_name = "NAME", conflicts_with_all = ["server", "context"])]
    pub project: Option<String>,
    /// Lane, which decides what is permitted [default: dev]
    #[arg(long, global = true, value_name = "NAME")]
    pub lane: Option<String>,
    /// Set a key of the configuration, such as `executor=modal` (repeatable)
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Tell more on stderr: -v what happens, -vv everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Form of what is told on stderr
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORM")]
    pub log_format: LogFormat,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a state directory here
    #[command(after_help = "Examples:\n  moorline init\n  moorline --state /srv/moorline init")]
    Init,
    /// Run a job and wait for its end
    #[command(
        after_help = "Examples:\n  moorline run examples/bank-statement\n  moorline run examples/bank-statement --input statement=may.ofx\n  moorline run examples/hello --json\n  moorline run examples/hello --param greeting='\"Ahoy\"'\n  moorline run examples/bank-statement --executor modal --emulator"
    )]
    Run(RunArgs),
    /// See and steer runs
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Check and explain job specs
    #[command(subcommand)]
    Job(JobCommand),
    /// Derive the app name of a processor ref
    #[command(
        after_help = "Examples:\n  moorline app-name llm/litellm@1\n  moorline app-name llm/litellm@1 --policy app-suffix --lane prod"
    )]
    AppName(AppNameArgs),
    /// Check secrets; never shows a value
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// Stop everything, or one run, job, source, schedule or lane, at once
    #[command(
        after_help = "Examples:\n  moorline stop all --reason \"unsafe output\"\n  moorline stop job:bank-statement --reason \"wrong amounts\"\n  moorline stop schedule:prod/bank-statement --reason \"too often\"\n  moorline stop --list\n\nThe stop holds until it is released: nothing that it covers can start, and the schedules that it\ncovers are disabled. Stopping what is stopped succeeds."
    )]
    Stop(StopArgs),
    /// Release a stop
    #[command(
        after_help = "Examples:\n  moorline release all --reason \"checked by Ada\"\n  moorline release job:bank-statement --reason \"fixed in version 2\"\n\nA release enables no schedule: enabling one passes all gates again."
    )]
    Release(ReleaseArgs),
    /// Disable schedules, stop everything, revoke secrets, archive artifacts: one command, resumable
    #[command(subcommand)]
    Emergency(EmergencyCommand),
    /// Review what may run, and point lanes to it
    #[command(subcommand)]
    Artifact(ArtifactCommand),
    /// Steer what starts by itself
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// See and pass the gates before a schedule may start anything
    #[command(subcommand)]
    Gates(GatesCommand),
    /// Start what is due, drive runs, deliver alerts: the worker of this machine
    #[command(
        after_help = "Examples:\n  moorline work --once\n  moorline work --until-idle --json\n  moorline work\n\nWithout a flag it works until it is interrupted (SIGINT, SIGTERM): it then finishes what runs; a second\nsignal leaves that to the next worker. Any number of workers may share a store."
    )]
    Work(WorkArgs),
    /// See who may do what
    #[command(subcommand)]
    Principal(PrincipalCommand),
    /// Make and end the tokens by which programs and people come in over a network
    #[command(subcommand)]
    Tokens(TokensCommand),
    /// Log in to a server; the token comes from standard input or a prompt
    #[command(
        after_help = "Examples:\n  moorline login https://moorline.example.org\n  moorline login http://127.0.0.1:7420 --name here < token\n\nThe token is kept in the keyring of your session where one works, else in a file that only you\ncan read. From then on commands work with that server; `moorline contexts use --local` works\nhere again."
    )]
    Login(LoginArgs),
    /// Forget a server and its token
    #[command(after_help = "Examples:\n  moorline logout\n  moorline logout acme")]
    Logout(LogoutArgs),
    /// See the servers that you are logged in to, and choose one
    #[command(subcommand)]
    Contexts(ContextsCommand),
    /// See the settings and where they come from
    #[command(subcommand)]
    Config(ConfigCommand),
    /// See what runs wait for, and decide it
    #[command(subcommand)]
    Approvals(ApprovalsCommand),
    /// See alerts, and send them again
    #[command(subcommand)]
    Alerts(AlertsCommand),
    /// See what happened
    #[command(subcommand)]
    Events(EventsCommand),
    /// See the sources and their states
    #[command(subcommand)]
    Sources(SourcesCommand),
    /// See and check the audit trail
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Say why something is as it is: which rule, which evidence, since when
    #[command(subcommand)]
    Explain(ExplainCommand),
    /// Tell what this machine can guarantee, and what is missing
    #[command(after_help = "Examples:\n  moorline doctor\n  moorline doctor --json")]
    Doctor,
    /// See and steer what is at Modal: apps, sandboxes, secrets, volumes, images, environments
    Modal(ModalArgs),
    /// Run Modal on this machine: official SDKs and Moorline work against it without an account
    #[command(
        after_help = "Examples:\n  moorline emulator\n  moorline emulator --port 9000 --state .emulator\n  eval \"$(moorline emulator --quiet &)\"\n  moorline emulator coverage --url http://127.0.0.1:9000\n  moorline emulator journal --what sandbox.create --json\n\nIt prints the variables that point a client at it, and runs until it is interrupted. With\n--state its world is kept in that directory, otherwise it is gone when it ends.",
        args_conflicts_with_subcommands = true
    )]
    Emulator(EmulatorArgs),
    /// Print a completion script for a shell
    #[command(
        after_help = "Examples:\n  moorline completions bash > /etc/bash_completion.d/moorline\n  moorline completions zsh"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write all pages to a directory
    #[command(after_help = "Examples:\n  moorline man | man -l -\n  moorline man --out man1")]
    Man {
        /// Directory for one page a command.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The job directory, which holds `job_spec.json`; or `live:JOB`, as `--live`
    #[arg(required_unless_present = "live")]
    pub job: Option<PathBuf>,
    /// Run what the lane points to for this job
    #[arg(long, value_name = "JOB", conflicts_with = "job")]
    pub live: Option<String>,
    /// A file for a declared input; `NAME=run:RUN` gives a failed run as one document
    #[arg(short, long = "input", value_name = "NAME=FILE")]
    pub inputs: Vec<String>,
    /// A value for a declared parameter; JSON, or plain text
    #[arg(short, long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    /// `mock` or `real` [default: real when the job needs neither secrets nor network, else mock]
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,
    /// Executor for steps that name none
    #[arg(long, value_name = "NAME")]
    pub executor: Option<String>,
    /// With `--executor modal`: start an emulator of Modal for this one run; needs no account
    #[arg(long)]
    pub emulator: bool,
    /// How missing protections are treated [default: the lane's rule]
    #[arg(long, value_enum, value_name = "NEED")]
    pub isolation: Option<Isolation>,
    /// The same key gives the same run, however often it is asked
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
}

/// How missing protections are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Isolation {
    /// Refuse to run without all of them.
    Required,
    /// Run with what this machine has, and say what is missing.
    BestEffort,
    /// No sandbox: a plain process (not in prod).
    Off,
}

/// `runs …`
#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// List runs, newest first
    #[command(
        after_help = "Examples:\n  moorline runs list\n  moorline runs list --status failed --limit 10\n  moorline runs list --job bank-statement --json"
    )]
    List {
        /// Only of this status (repeatable).
        #[arg(long = "status", value_name = "STATUS")]
        statuses: Vec<String>,
        /// Only of this job.
        #[arg(long, value_name = "ID")]
        job: Option<String>,
        /// Only of this source.
        #[arg(long, value_name = "ID")]
        source: Option<String>,
        /// Only older than this run: the next page.
        #[arg(long, value_name = "RUN")]
        before: Option<String>,
        /// At most this many.
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: u32,
    },
    /// Show a run: its summary, its attempts, where its outputs are
    #[command(
        after_help = "Examples:\n  moorline runs show latest\n  moorline runs show 0198c2d4 --json"
    )]
    Show {
        /// Id, a unique beginning of it, or `latest`.
        run: String,
    },
    /// Print the log of a run
    #[command(
        after_help = "Examples:\n  moorline runs logs latest\n  moorline runs logs latest -f\n  moorline runs logs 0198c2d4 --step load"
    )]
    Logs {
        /// Id, a unique beginning of it, or `latest`.
        run: String,
        /// Go on until the run is over.
        #[arg(short, long)]
        follow: bool,
        /// Only this step.
        #[arg(long, value_name = "NAME")]
        step: Option<String>,
        /// Only behind this line, by the numbers that `--json` shows.
        #[arg(
            long,
            default_value_t = 0,
            value_name = "LINE",
            hide_default_value = true
        )]
        after: u64,
    },
    /// Fetch an output of a run: to standard output, or into a file
    #[command(
        after_help = "Examples:\n  moorline runs output latest report.md\n  moorline runs output 0198c2d4 report.md --out report.md"
    )]
    Output {
        /// Id, a unique beginning of it, or `latest`.
        run: String,
        /// Path of the output, as `moorline runs show` lists it.
        path: String,
        /// A file to write; it appears once it is whole.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Content id of the output, where several steps wrote the path [default: the last of them].
        #[arg(long, value_name = "ID")]
        hash: Option<ContentId>,
    },
    /// Wait for the end of a run; drives it when nobody does, as after a crash
    #[command(
        after_help = "Examples:\n  moorline runs wait latest\n  moorline runs wait --all\n\nA run that waits for a decision is not waited for: the exit code is 3 then, and\n`moorline approvals list --run RUN` shows what it waits for."
    )]
    Wait {
        /// Id, a unique beginning of it, or `latest`.
        #[arg(required_unless_present = "all")]
        run: Option<String>,
        /// Every run that is not over.
        #[arg(long, conflicts_with = "run")]
        all: bool,
    },
    /// Cancel a run and everything it started; cancelling what is over succeeds
    #[command(
        after_help = "Examples:\n  moorline runs cancel latest\n  moorline runs cancel 0198c2d4 --grace 0 --reason \"wrong file\""
    )]
    Cancel {
        /// Id, a unique beginning of it, or `latest`.
        run: String,
        /// Why.
        #[arg(
            long,
            default_value = "cancelled on the command line",
            value_name = "TEXT"
        )]
        reason: String,
        /// Seconds between the polite signal and the kill [default: the step's own].
        #[arg(long, value_name = "SECONDS")]
        grace: Option<f64>,
    },
    /// Run again what a run ran: same job, inputs and parameters
    #[command(
        after_help = "Examples:\n  moorline runs retry latest\n  moorline runs retry 0198c2d4 --json"
    )]
    Retry {
        /// Id, a unique beginning of it, or `latest`.
        run: String,
        /// Why.
        #[arg(
            long,
            default_value = "retried on the command line",
            value_name = "TEXT"
        )]
        reason: String,
    },
}

/// `job …`
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Check a job; reports every violation at once
    #[command(
        after_help = "Examples:\n  moorline job validate examples/bank-statement\n  moorline job validate job_spec.json --lane prod --json"
    )]
    Validate {
        /// Job directory or spec file.
        job: PathBuf,
    },
    /// List the jobs that are known here: those that ran, were promoted or are scheduled
    #[command(after_help = "Examples:\n  moorline job list\n  moorline job list --json")]
    List,
    /// Print a published JSON Schema
    #[command(after_help = "Examples:\n  moorline job schema\n  moorline job schema tx_v1")]
    Schema {
        /// Which: `job_spec`, `run_summary` or `tx_v1`.
        #[arg(default_value = "job_spec")]
        name: String,
    },
    /// Print the `SCHEDULE.json` that goes with a job spec: its cadence, and the hash of the spec
    #[command(
        after_help = "Examples:\n  moorline job schedule daily > daily/SCHEDULE.json\n\nThe file is part of what is reviewed; a schedule equals it exactly. Writing it schedules\nnothing: that takes a promotion, five gates and a person."
    )]
    Schedule {
        /// Job directory or spec file.
        job: PathBuf,
    },
    /// Check an image definition, and print its identity or what builds it
    #[command(
        after_help = "Examples:\n  moorline job image examples/images/extractor.toml\n  moorline job image examples/images/extractor.toml --dockerfile | docker build -\n\nEverything in a definition is pinned: its base by digest, each package to one version. The\ndigest of what was built of it is what a spec names."
    )]
    Image {
        /// The definition: a TOML file.
        file: PathBuf,
        /// Print the Dockerfile instead.
        #[arg(long, conflicts_with = "json")]
        dockerfile: bool,
    },
    /// Say in words what a job would do: steps, limits, secrets, network, outputs
    #[command(after_help = "Examples:\n  moorline job explain examples/bank-statement")]
    Explain {
        /// Job directory or spec file.
        job: PathBuf,
    },
}

/// Arguments of `app-name`.
#[derive(Debug, Args)]
pub struct AppNameArgs {
    /// The processor ref, as `namespace/name@version`
    pub processor_ref: String,
    /// How lanes are told apart [default: `app_names.scope` where it is configured, else modal-environment]
    #[arg(long, value_enum, value_name = "POLICY")]
    pub policy: Option<AppPolicy>,
    /// Use this name instead; checked by the same rules [env: `MODAL_APP_NAME`]
    #[arg(long, value_name = "NAME")]
    pub app_name: Option<String>,
    /// Dev lane: put this branch before the name
    #[arg(long, value_name = "BRANCH")]
    pub branch: Option<String>,
    /// Dev lane: put this user before the name
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
}

/// How lanes are told apart in app names (D-REF-7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AppPolicy {
    /// Same name in each lane; the Modal environment tells them apart.
    ModalEnvironment,
    /// The lane is a suffix of the name.
    AppSuffix,
    /// Both.
    Both,
}

/// Arguments of `emulator`.
#[derive(Debug, Args)]
pub struct EmulatorArgs {
    /// What to ask of a running one; without it, one is started
    #[command(subcommand)]
    pub command: Option<EmulatorCommand>,
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub port: u16,
    /// The Python that runs functions, with the package `modal` in it [default: python3 of the PATH]
    #[arg(long, value_name = "FILE")]
    pub python: Option<PathBuf>,
    /// Faults in force from the start: a JSON list
    #[arg(long, value_name = "FILE")]
    pub faults: Option<PathBuf>,
    /// Print the variables and nothing else
    #[arg(long)]
    pub quiet: bool,
}

/// `emulator …`, of a running one.
#[derive(Debug, Subcommand)]
pub enum EmulatorCommand {
    /// List the RPCs that it implements, and those that were called and are missing
    #[command(
        after_help = "Examples:\n  moorline emulator coverage\n  moorline emulator coverage --url http://127.0.0.1:9000 --json"
    )]
    Coverage {
        /// Where it listens [default: `MODAL_SERVER_URL`].
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// List what really happened in it, whatever its clients were told
    #[command(
        after_help = "Examples:\n  moorline emulator journal\n  moorline emulator journal --what sandbox.create --json"
    )]
    Journal {
        /// Only effects of this kind.
        #[arg(long, value_name = "NAME")]
        what: Option<String>,
        /// Where it listens [default: `MODAL_SERVER_URL`].
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// Make calls fail on purpose
    #[command(subcommand)]
    Faults(FaultsCommand),
}

/// `emulator faults …`
#[derive(Debug, Subcommand)]
pub enum FaultsCommand {
    /// Put a fault plan in force, from the next call on
    #[command(
        after_help = "Examples:\n  moorline emulator faults set plan.json\n  echo '[{\"rpc\": \"AppList\", \"kind\": \"delay\", \"ms\": 500}]' | moorline emulator faults set -"
    )]
    Set {
        /// The plan, a JSON list; `-` for standard input.
        plan: PathBuf,
        /// Where it listens [default: `MODAL_SERVER_URL`].
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// Let every call through again
    #[command(after_help = "Examples:\n  moorline emulator faults clear")]
    Clear {
        /// Where it listens [default: `MODAL_SERVER_URL`].
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
}

/// Which events.
#[derive(Debug, Clone, Args)]
pub struct EventFilterArgs {
    /// Only with a greater id: the cursor
    #[arg(long, value_name = "ID")]
    pub after: Option<u64>,
    /// Only of this kind, e.g. `run.ended` (repeatable)
    #[arg(long = "kind", value_name = "KIND")]
    pub kinds: Vec<String>,
    /// Only at least this level: info, warn or error
    #[arg(long, value_name = "LEVEL")]
    pub level: Option<String>,
    /// Only of this run
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    /// Only of this job
    #[arg(long, value_name = "ID")]
    pub job: Option<String>,
}

/// `events …`
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// List events, oldest first; without a cursor, the newest ones
    #[command(
        after_help = "Examples:\n  moorline events list\n  moorline events list --level error --limit 5\n  moorline events list --after 120 --json"
    )]
    List {
        /// Which events.
        #[command(flatten)]
        filter: EventFilterArgs,
        /// At most this many.
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: u32,
    },
    /// Follow events until interrupted; with --json, one object a line
    #[command(
        after_help = "Examples:\n  moorline events watch\n  moorline events watch --after 0 --kind run.ended --json"
    )]
    Watch {
        /// Which events.
        #[command(flatten)]
        filter: EventFilterArgs,
        /// End after this many events.
        #[arg(long, value_name = "N")]
        count: Option<u64>,
    },
}
