//! Commands in a running sandbox.

use std::time::Duration;

use moorline_modal_proto::client::{PtyInfo, pty_info::PtyType};
use moorline_modal_proto::router::{
    TaskExecPollRequest, TaskExecStartRequest, TaskExecStderrConfig, TaskExecStdoutConfig,
    TaskExecWaitRequest, task_exec_poll_response, task_exec_wait_response,
};
use secrecy::SecretString;

use super::definition::{check_command, check_workdir, invalid, seconds};
use super::secret::{SecretRef, check_names, sources};
use super::stdin::Stdin;
use super::{ExecExit, Sandbox};
use crate::router::{ATTEMPT, CommandRouter, Descriptor, Output, command_router, output};
use crate::secrets::SecretValues;
use crate::transport::random_uuid;
use crate::{CallOptions, Error, ErrorKind, Result};

command_router! {
    EXEC_POLL = TaskExecPoll(TaskExecPollRequest) -> TaskExecPollResponse, Read;
    EXEC_START = TaskExecStart(TaskExecStartRequest) -> TaskExecStartResponse, Read;
    EXEC_WAIT = TaskExecWait(TaskExecWaitRequest) -> TaskExecWaitResponse, Read;
}

/// The wait before a router that does not answer is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// A terminal for a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pty {
    /// Lines.
    pub rows: u32,
    /// Characters a line.
    pub columns: u32,
    /// The value of `TERM`.
    pub term: String,
}

/// A command, and how it is run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExecSpec {
    /// Command and arguments; at most 64 KiB.
    pub command: Vec<String>,
    /// Secrets, in order: later ones win.
    pub secrets: Vec<SecretRef>,
    /// Environment variables, after the secrets.
    pub env: SecretValues,
    /// Absolute; that of the sandbox otherwise.
    pub workdir: Option<String>,
    /// After this long it is ended, in whole seconds.
    pub timeout: Option<Duration>,
    /// Its output is thrown away.
    pub discard_output: bool,
    /// It has a terminal; then its standard error is part of its standard output.
    pub pty: Option<Pty>,
    /// Its id; a random one otherwise. The router starts each id once, so a caller that keeps it can repeat
    /// the call after a crash.
    pub id: Option<String>,
}

impl ExecSpec {
    /// A command with defaults for the rest.
    pub fn new(command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            secrets: Vec::new(),
            env: SecretValues::new(),
            workdir: None,
            timeout: None,
            discard_output: false,
            pty: None,
            id: None,
        }
    }

    /// Adds an environment variable; its value is treated as a secret.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<SecretString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Adds a secret.
    #[must_use]
    pub fn secret(mut self, secret: SecretRef) -> Self {
        self.secrets.push(secret);
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn workdir(mut self, path: impl Into<String>) -> Self {
        self.workdir = Some(path.into());
        self
    }

    /// Sets the longest life.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Throws its output away.
    #[must_use]
    pub fn discard_output(mut self) -> Self {
        self.discard_output = true;
        self
    }

    /// Gives it a terminal.
    #[must_use]
    pub fn pty(mut self, pty: Pty) -> Self {
        self.pty = Some(pty);
        self
    }

    /// Sets its id.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The request that starts it.
    pub(super) fn to_request(&self, task_id: &str, exec_id: &str) -> Result<TaskExecStartRequest> {
        if self.command.is_empty() {
            return Err(invalid("there is no command to run"));
        }
        check_command(&self.command)?;
        check_workdir(self.workdir.as_deref())?;
        check_names(&self.secrets, &self.env)?;
        let (stdout, stderr) = if self.discard_output {
            (TaskExecStdoutConfig::Devnull, TaskExecStderrConfig::Devnull)
        } else {
            (TaskExecStdoutConfig::Pipe, TaskExecStderrConfig::Pipe)
        };
        Ok(TaskExecStartRequest {
            task_id: task_id.to_owned(),
            exec_id: exec_id.to_owned(),
            command_args: self.command.clone(),
            stdout_config: stdout.into(),
            stderr_config: stderr.into(),
            timeout_secs: self.timeout.map(seconds),
            workdir: self.workdir.clone(),
            pty_info: self.pty.as_ref().map(pty_info),
            secret_sources: sources(&self.secrets, &self.env),
            ..TaskExecStartRequest::default()
        })
    }
}

fn pty_info(pty: &Pty) -> PtyInfo {
    PtyInfo {
        enabled: true,
        winsz_rows: pty.rows,
        winsz_cols: pty.columns,
        env_term: pty.term.clone(),
        pty_type: PtyType::Shell.into(),
        no_terminate_on_idle_stdin: true,
        ..PtyInfo::default()
    }
}

/// A command in a sandbox; cheap to clone. Dropping it ends nothing.
#[derive(Clone, Debug)]
pub struct Process {
    sandbox: Sandbox,
    router: CommandRouter,
    id: String,
}

impl Sandbox {
    /// Runs a command. It is started once, also if the answer is lost and the call repeated.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a command that can not be; [`ErrorKind::Conflict`] or
    /// [`ErrorKind::NotFound`] if the sandbox has ended.
    pub async fn exec(&self, spec: &ExecSpec) -> Result<Process> {
        let id = spec.id.clone().unwrap_or_else(|| random_uuid().to_string());
        // What can not be is told without waiting for a place.
        spec.to_request("", &id)?;
        let router = self.router().await?;
        let request = spec.to_request(router.task_id(), &id)?;
        router.unary(EXEC_START, request).await?;
        Ok(Process {
            sandbox: self.clone(),
            router: router.clone(),
            id,
        })
    }

    /// The command of an id that [`exec`](Self::exec) started before, perhaps in another process.
    ///
    /// # Errors
    /// As [`router`](Self::router); whether there is such a command shows when it is used.
    pub async fn process(&self, exec_id: impl Into<String>) -> Result<Process> {
        let router = self.router().await?.clone();
        Ok(Process {
            sandbox: self.clone(),
            router,
            id: exec_id.into(),
        })
    }
}

impl Process {
    /// The id by which [`Sandbox::process`] finds it again.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it writes to standard output.
    pub fn stdout(&self) -> Output {
        self.stdout_from(0)
    }

    /// What it writes to standard output, from `offset` on.
    pub fn stdout_from(&self, offset: u64) -> Output {
        output(
            self.router.clone(),
            Some(self.id.clone()),
            Descriptor::Stdout,
            offset,
        )
    }

    /// What it writes to standard error.
    pub fn stderr(&self) -> Output {
        self.stderr_from(0)
    }

    /// What it writes to standard error, from `offset` on.
    pub fn stderr_from(&self, offset: u64) -> Output {
        output(
            self.router.clone(),
            Some(self.id.clone()),
            Descriptor::Stderr,
            offset,
        )
    }

    /// Its standard input. There is one writer: a second one would write over the first.
    pub fn stdin(&self) -> Stdin {
        Stdin::new(self.router.clone(), Some(self.id.clone()), 0)
    }

    /// How it ended, or `None` while it runs.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the router does not know it.
    pub async fn poll(&self) -> Result<Option<ExecExit>> {
        use task_exec_poll_response::ExitStatus::{Code, Signal};
        let request = TaskExecPollRequest {
            task_id: self.router.task_id().to_owned(),
            exec_id: self.id.clone(),
        };
        Ok(self
            .router
            .unary(EXEC_POLL, request)
            .await?
            .exit_status
            .map(|status| match status {
                Code(code) => ExecExit::Code(code),
                Signal(signal) => ExecExit::Signal(signal),
            }))
    }

    /// Waits until it has ended, in pieces of a minute: a router that does not answer is asked again for as
    /// long as the sandbox runs.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the router does not know it; [`ErrorKind::Conflict`] if the sandbox ended
    /// and the router with it.
    pub async fn wait(&self) -> Result<ExecExit> {
        use task_exec_wait_response::ExitStatus::{Code, Signal};
        let options = CallOptions::new().total_timeout(ATTEMPT);
        loop {
            let request = TaskExecWaitRequest {
                task_id: self.router.task_id().to_owned(),
                exec_id: self.id.clone(),
            };
            match self.router.call(EXEC_WAIT, request, &options).await {
                Ok(response) => match response.exit_status {
                    Some(Code(code)) => return Ok(ExecExit::Code(code)),
                    Some(Signal(signal)) => return Ok(ExecExit::Signal(signal)),
                    // The hold is over.
                    None => tokio::time::sleep(self.router.policy().base_delay).await,
                },
                // Nobody answered: it may run on, unless its sandbox is gone.
                Err(error) if error.is_transient() || error.kind() == ErrorKind::Cancelled => {
                    tracing::debug!(%error, exec_id = self.id, "the end of a command is asked again");
                    self.check_sandbox(error).await?;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn check_sandbox(&self, error: Error) -> Result<()> {
        match self.sandbox.poll().await? {
            None => Ok(()),
            Some(outcome) => {
                let message = format!(
                    "sandbox {} {outcome}, and how its command ended is not known",
                    self.sandbox.id()
                );
                Err(Error::new(ErrorKind::Conflict, message).with_source(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use moorline_modal_proto::client::{SecretSource, StringMap, secret_source};

    #[test]
    fn every_part_of_a_command_is_in_the_request() {
        let pty = Pty {
            rows: 24,
            columns: 80,
            term: "xterm".into(),
        };
        let spec = ExecSpec::new(["cat", "-"])
            .env("A", "1")
            .secret(SecretRef::Id("st-1".into()))
            .workdir("/work")
            .timeout(Duration::from_millis(2500))
            .pty(pty);
        let env = StringMap {
            contents: [("A".to_owned(), "1".to_owned())].into(),
        };
        let expected = TaskExecStartRequest {
            task_id: "ta-1".into(),
            exec_id: "exec".into(),
            command_args: vec!["cat".into(), "-".into()],
            stdout_config: 1,
            stderr_config: 1,
            timeout_secs: Some(3),
            workdir: Some("/work".into()),
            pty_info: Some(PtyInfo {
                enabled: true,
                winsz_rows: 24,
                winsz_cols: 80,
                env_term: "xterm".into(),
                pty_type: 2,
                no_terminate_on_idle_stdin: true,
                ..PtyInfo::default()
            }),
            secret_sources: vec![
                SecretSource {
                    source: Some(secret_source::Source::SecretId("st-1".into())),
                },
                SecretSource {
                    source: Some(secret_source::Source::Env(env)),
                },
            ],
            ..TaskExecStartRequest::default()
        };
        assert_eq!(spec.to_request("ta-1", "exec").unwrap(), expected);
        let quiet = ExecSpec::new(["true"])
            .discard_output()
            .to_request("ta-1", "exec")
            .unwrap();
        assert_eq!((quiet.stdout_config, quiet.stderr_config), (0, 0));
    }

    #[test]
    fn a_command_that_can_not_be_is_refused() {
        for spec in [
            ExecSpec::new(Vec::<String>::new()),
            ExecSpec::new(["x"]).workdir("y"),
            ExecSpec::new(["x"]).env("A B", "1"),
        ] {
            let error = spec.to_request("ta-1", "exec").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
    }
}
