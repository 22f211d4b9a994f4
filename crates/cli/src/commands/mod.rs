//! The commands, one file each.

mod alerts;
mod app_name;
mod approvals;
mod artifact;
mod audit;
mod config;
mod contexts;
mod deployment;
mod doctor;
mod emergency;
mod emulator;
mod events;
mod explain;
mod gates;
mod init;
mod job;
mod local;
mod login;
mod modal;
mod output_file;
mod pages;
mod principal;
mod reauth;
mod run;
mod runs;
mod schedule;
mod secrets;
mod sources;
mod stop;
mod tokens;
mod work;

use moorline_api::ApiError;

pub(crate) use contexts::unknown as unknown_context;

use crate::args::Command;
use crate::context::Context;

/// Runs a command. Gives the exit code.
pub(crate) fn run(context: &Context<'_>, command: Command) -> Result<u8, ApiError> {
    if let Some((name, why)) = local::reason(&command) {
        context.only_here(name, why)?;
    }
    match command {
        Command::Init => init::run(context),
        Command::Run(args) => run::run(context, &args),
        Command::Runs(command) => runs::run(context, command),
        Command::Job(command) => job::run(context, command),
        Command::AppName(args) => app_name::run(context, &args),
        Command::Secrets(command) => secrets::run(context, command),
        Command::Tokens(command) => tokens::run(context, command),
        Command::Stop(args) => stop::stop(context, args),
        Command::Release(args) => stop::release(context, args),
        Command::Emergency(command) => emergency::run(context, command),
        Command::Artifact(command) => artifact::run(context, command),
        Command::Schedule(command) => schedule::run(context, command),
        Command::Gates(command) => gates::run(context, command),
        Command::Work(args) => work::run(context, &args),
        Command::Principal(command) => principal::run(context, command),
        Command::Login(args) => login::login(context, args),
        Command::Logout(args) => login::logout(context, args),
        Command::Contexts(command) => contexts::run(context, command),
        Command::Config(command) => config::run(context, command),
        Command::Approvals(command) => approvals::run(context, command),
        Command::Alerts(command) => alerts::run(context, command),
        Command::Explain(command) => explain::run(context, command),
        Command::Events(command) => events::run(context, command),
        Command::Sources(command) => sources::run(context, command),
        Command::Audit(command) => audit::run(context, command),
        Command::Doctor => doctor::run(context),
        Command::Modal(args) => modal::run(context, args),
        Command::Emulator(args) => emulator::run(context, &args),
        Command::Completions { shell } => Ok(pages::completions(shell)),
        Command::Man { out } => pages::man(out.as_deref()),
    }
}
