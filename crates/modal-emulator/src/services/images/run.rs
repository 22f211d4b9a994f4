//! RUN, in the container of a stage.

use std::time::Duration;

use moorline_modal_proto::client::FileDescriptor;

use super::build::{Builder, Failure};
use super::dockerfile::Command;
use super::recipe::{self, CLIENT_REQUIREMENTS, Run};
use crate::container::{Exec, Exit, Log};

/// The longest that one RUN may take.
const RUN_LIMIT: Duration = Duration::from_hours(1);

impl Builder {
    pub(super) async fn run_step(&mut self, command: &Command, text: &str) -> Result<(), Failure> {
        self.stage()?;
        let installs_client = self.order.adds_python
            || self
                .order
                .context_files
                .iter()
                .any(|file| file.filename == CLIENT_REQUIREMENTS);
        match recipe::run(command, self.order.is_modals, installs_client) {
            Run::Satisfied(why) => {
                self.say(&format!("not run: {why}\n"));
                return Ok(());
            }
            Run::PutOff => {
                self.say("put off until a package has to be fetched\n");
                self.update_is_due = true;
                return Ok(());
            }
            Run::AptInstall(packages) => {
                let mut query: Vec<String> = ["dpkg-query", "-W"].map(str::to_owned).into();
                query.extend(packages);
                if self.execute(query).await? == Exit::Code(0) {
                    self.say("not run: this machine has these packages\n");
                    return Ok(());
                }
                self.update().await?;
            }
            Run::AsWritten => {
                let needs_packages = text.contains("apt");
                if needs_packages {
                    self.update().await?;
                }
            }
        }
        let argv = self.stage()?.base.config.argv(command);
        match self.execute(argv).await? {
            Exit::Code(0) => Ok(()),
            exit => Err(Failure::Step(format!("`{text}` failed: {}", ended(exit)))),
        }
    }

    /// Runs an `apt-get update` that was put off. When it fails, what needs it will.
    async fn update(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.update_is_due) {
            let argv = ["apt-get", "update"].map(str::to_owned).into();
            self.execute(argv).await?;
        }
        Ok(())
    }

    /// Runs a program in the current stage, with its output in the log.
    async fn execute(&mut self, argv: Vec<String>) -> Result<Exit, Failure> {
        let secrets = self.order.env.clone();
        let stage = self.stage()?;
        let mut env = stage.variables();
        env.extend(secrets);
        let cwd = stage
            .base
            .config
            .workdir
            .clone()
            .unwrap_or_else(|| "/".to_owned());
        let timeout = Some(RUN_LIMIT);
        let exec = Exec {
            argv,
            env,
            cwd: Some(cwd),
            pty: None,
            timeout,
        };
        self.start(exec).await
    }

    pub(super) async fn start(&mut self, exec: Exec) -> Result<Exit, Failure> {
        let container = self.container().await?;
        let process = match container.exec(exec).await {
            Ok(process) => process,
            Err(error) => {
                self.write(&format!("{error}\n"), FileDescriptor::Stderr);
                return Ok(Exit::Code(127));
            }
        };
        let reading = (
            self.tell(process.stdout(), FileDescriptor::Stdout),
            self.tell(process.stderr(), FileDescriptor::Stderr),
        );
        let (exit, (), ()) = tokio::join!(process.wait(), reading.0, reading.1);
        Ok(exit)
    }

    /// Writes what a process writes, to its end.
    async fn tell(&self, log: &Log, descriptor: FileDescriptor) {
        let mut reader = log.reader(0);
        let mut rest = Vec::new();
        while let Ok(Some(bytes)) = reader.next().await {
            rest.extend_from_slice(&bytes);
            // A character may go on in the next piece.
            let whole = match std::str::from_utf8(&rest) {
                Err(error) if error.error_len().is_none() => error.valid_up_to(),
                _ => rest.len(),
            };
            let told: Vec<u8> = rest.drain(..whole).collect();
            if !told.is_empty() {
                self.write(&String::from_utf8_lossy(&told), descriptor);
            }
        }
        if !rest.is_empty() {
            self.write(&String::from_utf8_lossy(&rest), descriptor);
        }
    }
}

/// How a program ended, for people.
pub(super) fn ended(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit status {code}"),
        Exit::Signal(signal) => format!("killed by signal {signal}"),
        Exit::TimedOut => "it took more than an hour".to_owned(),
        Exit::ContainerGone => "its container ended".to_owned(),
    }
}
