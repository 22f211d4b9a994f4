//! `moorline modal …`: what is at Modal, in the conventions of the official command line.
//!
//! These commands are outside the control plane: they steer objects of a Modal workspace, whoever made them,
//! and change nothing of what Moorline keeps.

mod app;
mod doctor;
mod environment;
mod image;
mod sandbox;
mod secret;
mod volume;

use std::future::Future;
use std::io::Write as _;

use jiff::Timestamp;
use moorline_api::ApiError;
use moorline_core::error_code::ErrorCode;
use moorline_modal_client::{Client, Config, Error, ErrorKind};

use crate::args::{ModalArgs, ModalCommand};
use crate::context::Context;

pub(super) fn run(context: &Context<'_>, args: ModalArgs) -> Result<u8, ApiError> {
    let modal = Modal {
        context,
        environment: args.env,
    };
    match args.command {
        ModalCommand::App(command) => app::run(&modal, command),
        ModalCommand::Sandbox(command) => sandbox::run(&modal, command),
        ModalCommand::Secret(command) => secret::run(&modal, command),
        ModalCommand::Volume(command) => volume::run(&modal, command),
        ModalCommand::Image(command) => image::run(&modal, command),
        ModalCommand::Environment(command) => environment::run(&modal, command),
        ModalCommand::Doctor => doctor::run(&modal),
    }
}

/// What every command here gets.
struct Modal<'a> {
    context: &'a Context<'a>,
    environment: Option<String>,
}

impl Modal<'_> {
    /// The environment of calls; the client's own when none was named.
    fn environment(&self) -> Option<&str> {
        self.environment.as_deref()
    }

    fn json(&self) -> bool {
        self.context.json()
    }

    fn config(&self) -> Result<Config, Error> {
        Config::from_env(self.context.env.vars.clone())
    }

    /// Runs a command's work with a client.
    fn with_client<F, T>(&self, work: impl FnOnce(Client) -> F) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let client = self.config().and_then(Client::new).map_err(told)?;
        crate::context::runtime()?.block_on(work(client))
    }
}

/// Asks before something is lost for good.
fn confirm(yes: bool, what: &str) -> Result<(), ApiError> {
    if yes {
        return Ok(());
    }
    let refused = |why: &str| {
        ApiError::new(ErrorCode::Usage, format!("{what}: {why}"))
            .hint("give --yes to do it without being asked")
    };
    if !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        return Err(refused("nobody can be asked here"));
    }
    let mut answer = String::new();
    let asked = write!(std::io::stderr(), "{what}? [y/N] ")
        .and_then(|()| std::io::stderr().flush())
        .and_then(|()| std::io::stdin().read_line(&mut answer).map(drop));
    match (asked, answer.trim()) {
        (Ok(()), "y" | "Y" | "yes") => Ok(()),
        _ => Err(refused("not confirmed")),
    }
}

/// An error of Modal's as this program tells it.
fn told(error: Error) -> ApiError {
    let (code, hint) = match error.kind() {
        ErrorKind::NotFound => (ErrorCode::NotFound, None),
        ErrorKind::Unauthenticated | ErrorKind::PermissionDenied => (
            ErrorCode::Auth,
            Some("`moorline modal doctor` shows which token is used and where it comes from"),
        ),
        ErrorKind::Config => (
            ErrorCode::Config,
            Some("`moorline modal doctor` shows where each setting comes from"),
        ),
        ErrorKind::InvalidArgument | ErrorKind::AlreadyExists | ErrorKind::Conflict => {
            (ErrorCode::Usage, None)
        }
        ErrorKind::Unavailable => (
            ErrorCode::AdapterInvocation,
            Some("`moorline modal doctor` checks the way to the server"),
        ),
        _ => (ErrorCode::AdapterInvocation, None),
    };
    let told = ApiError::new(code, error.to_string()).because(error);
    match hint {
        Some(hint) => told.hint(hint),
        None => told,
    }
}

/// A time for people; nothing for one that is not known.
fn time(at: Option<Timestamp>) -> String {
    at.map(|at| format!("{at:.0}")).unwrap_or_default()
}

/// Reads or writes of this machine's files.
fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> ApiError {
    let what = what.into();
    move |error| ApiError::new(ErrorCode::Usage, what).because(error)
}
