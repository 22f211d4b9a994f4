//! Arguments of `moorline modal …`, in the conventions of the official command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Arguments of `modal`.
#[derive(Debug, Args)]
pub struct ModalArgs {
    /// Environment of the workspace [default: that of the profile, or the workspace's own]
    #[arg(short, long, global = true, value_name = "NAME")]
    pub env: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: ModalCommand,
}

/// `modal …`
#[derive(Debug, Subcommand)]
pub enum ModalCommand {
    /// See and steer apps
    #[command(subcommand)]
    App(AppCommand),
    /// See sandboxes and work in them
    #[command(subcommand)]
    Sandbox(SandboxCommand),
    /// Keep secrets; never shows a value
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Keep files
    #[command(subcommand)]
    Volume(VolumeCommand),
    /// See named images
    #[command(subcommand)]
    Image(ImageCommand),
    /// See and keep environments
    #[command(name = "environment", alias = "env", subcommand)]
    Environment(EnvironmentCommand),
    /// Check the way to Modal: settings and where each comes from, token, server, clock, limits
    #[command(after_help = "Examples:\n  moorline modal doctor\n  moorline modal doctor --json")]
    Doctor,
}

/// `modal app …`
#[derive(Debug, Subcommand)]
pub enum AppCommand {
    /// List apps
    #[command(
        after_help = "Examples:\n  moorline modal app list\n  moorline modal app list --env dev --json"
    )]
    List,
    /// Print the log of an app
    #[command(
        after_help = "Examples:\n  moorline modal app logs jobs-bank-statement-v1-dev\n  moorline modal app logs ap-0123456789abcdefABCDEF -f"
    )]
    Logs {
        /// Name of a deployed app, or id.
        app: String,
        /// Go on as it is written.
        #[arg(short, long)]
        follow: bool,
        /// The newest so many lines, where it is not followed.
        #[arg(long, default_value_t = 1000, value_name = "N")]
        tail: u32,
    },
    /// Stop an app and everything that runs in it; it can not be started again
    #[command(after_help = "Examples:\n  moorline modal app stop my-app --yes")]
    Stop {
        /// Name of a deployed app, or id.
        app: String,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
    /// List the deployments of an app, newest first
    #[command(
        after_help = "Examples:\n  moorline modal app history my-app\n  moorline modal app history my-app --json"
    )]
    History {
        /// Name of a deployed app, or id.
        app: String,
    },
    /// Deploy an earlier version again
    #[command(
        after_help = "Examples:\n  moorline modal app rollback my-app\n  moorline modal app rollback my-app v3"
    )]
    Rollback {
        /// Name of a deployed app, or id.
        app: String,
        /// Which version, e.g. `v3`; the one before when absent.
        version: Option<String>,
    },
}

/// `modal sandbox …`
#[derive(Debug, Subcommand)]
pub enum SandboxCommand {
    /// List sandboxes
    #[command(
        after_help = "Examples:\n  moorline modal sandbox list\n  moorline modal sandbox list --all --tag moorline-step=load --json"
    )]
    List {
        /// Only of this app, by id.
        #[arg(long, value_name = "ID")]
        app: Option<String>,
        /// Only with this tag (repeatable).
        #[arg(long = "tag", value_name = "NAME=VALUE")]
        tags: Vec<String>,
        /// Also those that have ended.
        #[arg(long)]
        all: bool,
    },
    /// Run a command in a sandbox
    #[command(
        after_help = "Examples:\n  moorline modal sandbox exec sb-123 -- ls -l /job\n  echo data | moorline modal sandbox exec sb-123 -- wc -c"
    )]
    Exec {
        /// Id of the sandbox.
        sandbox: String,
        /// The command and its arguments.
        #[arg(required = true, last = true)]
        command: Vec<String>,
    },
    /// Open a shell in a sandbox
    #[command(
        after_help = "Examples:\n  moorline modal sandbox shell sb-123\n  moorline modal sandbox shell sb-123 --cmd /bin/bash"
    )]
    Shell {
        /// Id of the sandbox.
        sandbox: String,
        /// The shell.
        #[arg(long, default_value = "/bin/sh", value_name = "FILE")]
        cmd: String,
    },
    /// Print what a sandbox wrote to its standard output and error
    #[command(
        after_help = "Examples:\n  moorline modal sandbox logs sb-123\n  moorline modal sandbox logs sb-123 -f"
    )]
    Logs {
        /// Id of the sandbox.
        sandbox: String,
        /// Go on until it ends.
        #[arg(short, long)]
        follow: bool,
    },
    /// End a sandbox and everything in it
    #[command(after_help = "Examples:\n  moorline modal sandbox terminate sb-123")]
    Terminate {
        /// Id of the sandbox.
        sandbox: String,
    },
}

/// `modal secret …`
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// List secrets and the names of their keys
    #[command(
        after_help = "Examples:\n  moorline modal secret list\n  moorline modal secret list --json"
    )]
    List,
    /// Create a secret; values never come as arguments
    #[command(
        after_help = "Examples:\n  moorline modal secret create bank --from-dotenv .env\n  moorline modal secret create bank TOKEN < token.txt\n  moorline modal secret create bank TOKEN PASSWORD --from-env\n  moorline modal secret create bank TOKEN          # asks at the terminal\n\nA value in the arguments would be seen by every user of this machine and kept by the shell."
    )]
    Create {
        /// Name of the secret.
        name: String,
        /// Names of its keys.
        #[arg(required_unless_present = "from_dotenv")]
        keys: Vec<String>,
        /// Keys and values from a file of NAME=value lines; `-` for standard input.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["keys", "from_env"])]
        from_dotenv: Option<PathBuf>,
        /// The values of the variables of those names.
        #[arg(long)]
        from_env: bool,
        /// Replace one that exists.
        #[arg(long)]
        force: bool,
    },
    /// Delete a secret
    #[command(after_help = "Examples:\n  moorline modal secret delete bank --yes")]
    Delete {
        /// Name of the secret.
        name: String,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
}

/// `modal volume …`
#[derive(Debug, Subcommand)]
pub enum VolumeCommand {
    /// List volumes
    #[command(
        after_help = "Examples:\n  moorline modal volume list\n  moorline modal volume list --json"
    )]
    List,
    /// Create a volume
    #[command(
        after_help = "Examples:\n  moorline modal volume create data\n  moorline modal volume create data --version 2"
    )]
    Create {
        /// Name of the volume.
        name: String,
        /// Storage layout, 1 or 2 [default: the server's].
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=2))]
        version: Option<u8>,
    },
    /// Delete a volume and everything in it
    #[command(after_help = "Examples:\n  moorline modal volume delete data --yes")]
    Delete {
        /// Name of the volume.
        name: String,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
    /// List files of a volume
    #[command(
        after_help = "Examples:\n  moorline modal volume ls data\n  moorline modal volume ls data /2026 --recursive --json"
    )]
    Ls {
        /// Name of the volume.
        name: String,
        /// A directory or file in it.
        #[arg(default_value = "/")]
        path: String,
        /// Also what is in directories below.
        #[arg(short, long)]
        recursive: bool,
    },
    /// Send a file or directory to a volume
    #[command(
        after_help = "Examples:\n  moorline modal volume put data may.ofx /2026/may.ofx\n  moorline modal volume put data models /models --force"
    )]
    Put {
        /// Name of the volume.
        name: String,
        /// File or directory of this machine.
        local: PathBuf,
        /// Where to put it; a slash at the end keeps its name.
        #[arg(default_value = "/")]
        remote: String,
        /// Replace files that exist.
        #[arg(short, long)]
        force: bool,
    },
    /// Fetch a file or directory from a volume
    #[command(
        after_help = "Examples:\n  moorline modal volume get data /2026/may.ofx\n  moorline modal volume get data /models ./models\n  moorline modal volume get data /notes.txt -"
    )]
    Get {
        /// Name of the volume.
        name: String,
        /// A file or directory in it.
        remote: String,
        /// Where to put it; `-` for standard output.
        #[arg(default_value = ".")]
        local: PathBuf,
        /// Replace files that exist.
        #[arg(short, long)]
        force: bool,
    },
    /// Remove a file or directory of a volume
    #[command(
        after_help = "Examples:\n  moorline modal volume rm data /old.txt\n  moorline modal volume rm data /2025 --recursive"
    )]
    Rm {
        /// Name of the volume.
        name: String,
        /// A file or directory in it.
        path: String,
        /// Also directories with what is in them.
        #[arg(short, long)]
        recursive: bool,
    },
    /// Copy files within a volume
    #[command(after_help = "Examples:\n  moorline modal volume cp data /a.txt /b.txt")]
    Cp {
        /// Name of the volume.
        name: String,
        /// Sources, and the target last.
        #[arg(required = true, num_args = 2..)]
        paths: Vec<String>,
        /// Also directories with what is in them.
        #[arg(short, long)]
        recursive: bool,
    },
    /// Give a volume another name
    #[command(after_help = "Examples:\n  moorline modal volume rename data data-2025")]
    Rename {
        /// The name it has.
        name: String,
        /// The name it gets.
        new_name: String,
    },
}

/// `modal image …`
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// List the names of images and what they stand for
    #[command(
        after_help = "Examples:\n  moorline modal image list\n  moorline modal image list team/ --json"
    )]
    List {
        /// Only names that begin so.
        #[arg(default_value = "")]
        prefix: String,
    },
    /// Delete an image
    #[command(after_help = "Examples:\n  moorline modal image delete im-123")]
    Delete {
        /// Id of the image.
        image: String,
    },
}

/// `modal environment …`
#[derive(Debug, Subcommand)]
pub enum EnvironmentCommand {
    /// List environments
    #[command(
        after_help = "Examples:\n  moorline modal environment list\n  moorline modal env list --json"
    )]
    List,
    /// Create an environment
    #[command(after_help = "Examples:\n  moorline modal environment create staging")]
    Create {
        /// Its name.
        name: String,
    },
    /// Delete an environment and everything in it
    #[command(after_help = "Examples:\n  moorline modal environment delete staging --yes")]
    Delete {
        /// Its name.
        name: String,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
    /// Change an environment
    #[command(
        after_help = "Examples:\n  moorline modal environment update staging --set-name test\n  moorline modal environment update staging --set-web-suffix test"
    )]
    Update {
        /// The name it has.
        name: String,
        /// The name it gets.
        #[arg(long, value_name = "NAME")]
        set_name: Option<String>,
        /// What stands in the host names of its web endpoints.
        #[arg(long, value_name = "TEXT")]
        set_web_suffix: Option<String>,
    },
}
