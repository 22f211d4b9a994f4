//! Commands that are of this machine alone, each with the reason: no server can do them.

use crate::args::{
    AlertsCommand, AuditCommand, Command, ExplainCommand, JobCommand, PrincipalCommand,
};

/// The name of a command that no server can do, and why; none for those that work anywhere.
pub(super) fn reason(command: &Command) -> Option<(&'static str, &'static str)> {
    Some(match command {
        Command::Init => ("init", "makes a state directory on this machine"),
        Command::Run(args) if args.emulator => (
            "run --emulator",
            "emulates Modal in this process, where a server's run can not reach it",
        ),
        Command::Work(_) => (
            "work",
            "is a worker on a state directory; `moorlined` does that work itself",
        ),
        Command::AppName(_) => ("app-name", "computes a name, and nothing is looked up"),
        Command::Config(_) => (
            "config",
            "reads the configuration files of this machine; a server has its own",
        ),
        Command::Login(_) => ("login", "is given the address as its argument"),
        Command::Logout(_) | Command::Contexts(_) => (
            "contexts",
            "is about the contexts that are kept on this machine",
        ),
        Command::Modal(_) => (
            "modal",
            "steers a Modal workspace with the account of this machine",
        ),
        Command::Emulator(_) => ("emulator", "is a server of its own"),
        Command::Completions { .. } => ("completions", "prints text of this program"),
        Command::Man { .. } => ("man", "prints text of this program"),
        Command::Principal(PrincipalCommand::Keygen) => (
            "principal keygen",
            "makes a private key, which never leaves the machine of its person",
        ),
        Command::Alerts(AlertsCommand::Send) => (
            "alerts send",
            "delivers from this machine; a server delivers by itself",
        ),
        Command::Audit(AuditCommand::Verify { file: Some(_), .. }) => {
            ("audit verify FILE", "checks a file of this machine")
        }
        Command::Explain(ExplainCommand::Rule { .. }) => (
            "explain rule",
            "tells what a rule demands, which is the same everywhere",
        ),
        Command::Job(JobCommand::Schema { .. } | JobCommand::Image { .. }) => (
            "job schema|image",
            "tells what this program knows, and asks nobody",
        ),
        _ => return None,
    })
}
