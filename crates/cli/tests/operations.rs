//! Every operation of the control plane has a command, or a stated reason why not.

use clap::CommandFactory as _;
use moorline::args::Cli;
use moorline_api::Operation;

/// The command of an operation, as words; the first word of a reason that is none starts with `(`.
const fn command(operation: Operation) -> &'static str {
    match operation {
        Operation::JobCheck => "job validate",
        Operation::RunSubmit => "run",
        Operation::RunGet => "runs show",
        Operation::RunList => "runs list",
        Operation::RunWait => "runs wait",
        Operation::RunCancel => "runs cancel",
        Operation::RunRetry => "runs retry",
        Operation::RunLogs => "runs logs",
        Operation::Stop | Operation::StopList => "stop",
        Operation::Release => "release",
        Operation::EventList => "events list",
        Operation::EventWatch => "events watch",
        Operation::AuditVerify => "audit verify",
        Operation::SourceList => "sources list",
        Operation::SecretCheck => "secrets check",
        Operation::Health => "doctor",
    }
}

#[test]
fn every_operation_has_a_command() {
    for operation in Operation::ALL {
        let mut found = Cli::command();
        for word in command(*operation).split(' ') {
            found = found
                .find_subcommand(word)
                .unwrap_or_else(|| panic!("{} has no command", operation.as_str()))
                .clone();
        }
    }
}

#[test]
fn the_arguments_are_consistent() {
    Cli::command().debug_assert();
}
