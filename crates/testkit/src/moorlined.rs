//! The built `moorlined`, run in a clean environment with its own state directory, on a port of its own.
//!
//! A [`Server`] is a [`Moorline`] home whose state directory a real server serves: the command line that
//! belongs to it, by [`Server::moorline`], makes tokens and looks into the same state. Dropping it kills the
//! server with SIGKILL, as a crash would.
//!
//! ```no_run
//! use moorline_testkit::moorlined::Server;
//!
//! let server = Server::start()?;
//! let token = server.token("ada", ["--principal", "human:ada"])?;
//! let health = format!("{}/v1/health", server.url());
//! # let _ = (token, health);
//! # Ok::<(), moorline_testkit::moorline::HarnessError>(())
//! ```
//!
//! Deliberately absent: an HTTP client. Tests bring the one that they test with.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::moorline::{HarnessError, Moorline, Output, Running, Signal, binary};
use crate::wait;

/// How long a server may take to say that it listens, on a machine that is busy.
const START: Duration = Duration::from_mins(1);
/// How long a server may take to end when it is told to.
const END: Duration = Duration::from_mins(1);

/// How a server is started.
#[derive(Debug)]
pub struct ServerOptions {
    moorline: Moorline,
    variables: Vec<(OsString, OsString)>,
    arguments: Vec<OsString>,
    store: Option<String>,
    config: Option<PathBuf>,
}

/// A server that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    options: ServerOptions,
    running: Option<Running>,
    url: String,
}

impl ServerOptions {
    /// A server with a fresh home, over SQLite.
    ///
    /// # Errors
    ///
    /// As [`Moorline::new`].
    pub fn new() -> Result<Self, HarnessError> {
        Ok(Self::of(Moorline::new()?))
    }

    /// A server over the state of this home.
    pub fn of(moorline: Moorline) -> Self {
        Self {
            moorline,
            variables: Vec::new(),
            arguments: Vec::new(),
            store: None,
            config: None,
        }
    }

    /// Over a PostgreSQL database instead: its URL.
    #[must_use]
    pub fn store(mut self, url: impl Into<String>) -> Self {
        let url = url.into();
        self.moorline = self.moorline.env("MOORLINE_STORE", &url);
        self.store = Some(url);
        self
    }

    /// Sets a variable for the server and for the commands of its home.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let (name, value) = (name.as_ref().to_owned(), value.as_ref().to_owned());
        self.moorline = self.moorline.env(&name, &value);
        self.variables.push((name, value));
        self
    }

    /// Adds an argument of the server, such as `--no-work`.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Writes the project's `moorline.toml` of the home: the server and its commands read it.
    ///
    /// # Errors
    ///
    /// [`HarnessError::Io`].
    pub fn config(mut self, toml: &str) -> Result<Self, HarnessError> {
        let file = self.moorline.work_dir().join("moorline.toml");
        std::fs::write(&file, toml).map_err(|source| HarnessError::Io {
            what: format!("write {}", file.display()),
            source,
        })?;
        self.config = Some(file);
        Ok(self)
    }

    /// Starts it, and waits until it listens.
    ///
    /// # Errors
    ///
    /// [`HarnessError::NotBuilt`]; [`HarnessError::TimedOut`] when it does not say within a minute that it
    /// listens, and [`HarnessError::Failed`] when it ends instead.
    pub fn start(self) -> Result<Server, HarnessError> {
        let mut server = Server {
            options: self,
            running: None,
            url: String::new(),
        };
        server.launch(0)?;
        Ok(server)
    }
}

impl Server {
    /// A server with a fresh home, over SQLite.
    ///
    /// # Errors
    ///
    /// As [`ServerOptions::start`].
    pub fn start() -> Result<Self, HarnessError> {
        ServerOptions::new()?.start()
    }

    /// Where it listens, as `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The command line over the same state.
    pub fn moorline(&self) -> &Moorline {
        &self.options.moorline
    }

    /// The state directory that it serves.
    pub fn state_dir(&self) -> PathBuf {
        self.options.moorline.state_dir()
    }

    /// The directory that holds everything of its home.
    pub fn root(&self) -> &Path {
        self.options.moorline.root()
    }

    /// Its process id; 0 while it does not run.
    pub fn pid(&self) -> u32 {
        self.running.as_ref().map_or(0, Running::pid)
    }

    /// What it has written to standard error since it was started last.
    pub fn log(&self) -> String {
        let running = self.running.as_ref();
        running.map(Running::stderr_so_far).unwrap_or_default()
    }

    /// Makes a token on the machine (`moorline tokens create NAME …`), as an admin of it: its text.
    ///
    /// # Errors
    ///
    /// [`HarnessError::Failed`] when the command refuses.
    pub fn token<I>(&self, name: &str, arguments: I) -> Result<String, HarnessError>
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        let mut all: Vec<OsString> = ["tokens", "create", name, "--json"]
            .iter()
            .map(Into::into)
            .collect();
        all.extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        let output = self.options.moorline.run(all)?;
        let token = output
            .json()
            .ok()
            .and_then(|document| Some(document.get("token")?.as_str()?.to_owned()));
        token.ok_or_else(|| HarnessError::Failed {
            what: "make a token".to_owned(),
            output: Box::new(output),
        })
    }

    /// Sends a signal to it.
    ///
    /// # Errors
    ///
    /// [`HarnessError::Io`].
    pub fn signal(&mut self, signal: Signal) -> Result<(), HarnessError> {
        self.running
            .as_mut()
            .map_or(Ok(()), |running| running.signal(signal))
    }

    /// Kills it with SIGKILL; its state stays. [`Server::restart`] starts it again.
    ///
    /// # Errors
    ///
    /// [`HarnessError::Io`] and [`HarnessError::TimedOut`].
    pub fn kill(&mut self) -> Result<(), HarnessError> {
        self.signal(Signal::KILL)?;
        match self.running.take() {
            Some(running) => running.wait(END).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Tells it to end (SIGTERM) and waits until it has: what it wrote.
    ///
    /// # Errors
    ///
    /// [`HarnessError::Io`] and [`HarnessError::TimedOut`]; [`HarnessError::Failed`] when it does not run.
    pub fn end(&mut self) -> Result<Output, HarnessError> {
        self.signal(Signal::TERM)?;
        self.ended()
    }

    /// Waits until it has ended, as after a [signal](Server::signal): what it wrote.
    ///
    /// # Errors
    ///
    /// As [`Server::end`].
    pub fn ended(&mut self) -> Result<Output, HarnessError> {
        let running = self.running.take();
        match running {
            Some(running) => running.wait(END),
            None => Err(HarnessError::Io {
                what: "end a server that does not run".to_owned(),
                source: std::io::ErrorKind::NotFound.into(),
            }),
        }
    }

    /// Starts it again over the same state and on the same port, after [`Server::kill`] or [`Server::end`];
    /// kills it first when it still runs.
    ///
    /// # Errors
    ///
    /// As [`ServerOptions::start`].
    pub fn restart(&mut self) -> Result<(), HarnessError> {
        self.kill()?;
        let port = self
            .url
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        self.launch(port.unwrap_or(0))
    }

    /// Runs another command of the server's program over the same state to its end, such as `migrate --check`.
    ///
    /// # Errors
    ///
    /// [`HarnessError::Io`] and [`HarnessError::TimedOut`].
    pub fn command<I>(&self, arguments: I) -> Result<Output, HarnessError>
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        let mut command = self.program()?;
        Running::start(command.args(arguments))?.wait(END)
    }

    /// Another server over the same state: a replica, with a port of its own. It ends with its value; the
    /// home stays with this one.
    ///
    /// # Errors
    ///
    /// As [`ServerOptions::start`].
    pub fn replica(&self) -> Result<Replica, HarnessError> {
        let running = Running::start(&mut self.serving(0)?)?;
        let mut replica = Replica {
            running,
            url: String::new(),
        };
        replica.url = listening(&replica.running)?;
        Ok(replica)
    }

    fn launch(&mut self, port: u16) -> Result<(), HarnessError> {
        let running = Running::start(&mut self.serving(port)?)?;
        let listening = listening(&running);
        self.running = Some(running);
        self.url = listening?;
        Ok(())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "test support: the subject is a process"
    )]
    fn program(&self) -> Result<Command, HarnessError> {
        let options = &self.options;
        let moorline = &options.moorline;
        let mut command = Command::new(binary("moorlined")?);
        command
            .env_clear()
            .envs(crate::env::read("PATH").map(|path| ("PATH", path)))
            .env("HOME", moorline.root().join("home"))
            .envs(options.store.iter().map(|url| ("MOORLINE_STORE", url)))
            .envs(options.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(moorline.work_dir())
            .stdin(Stdio::null())
            .arg("--state")
            .arg(moorline.state_dir());
        Ok(command)
    }

    /// The program as a server on a port.
    fn serving(&self, port: u16) -> Result<Command, HarnessError> {
        let mut command = self.program()?;
        command
            .args(["--bind", &format!("127.0.0.1:{port}")])
            .args(&self.options.arguments);
        Ok(command)
    }
}

/// A second server over the state of a [`Server`]. Dropping it kills it.
#[derive(Debug)]
pub struct Replica {
    running: Running,
    url: String,
}

impl Replica {
    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// What it has written to standard error so far.
    pub fn log(&self) -> String {
        self.running.stderr_so_far()
    }

    /// Sends a signal to it.
    ///
    /// # Errors
    ///
    /// [`HarnessError::Io`].
    pub fn signal(&mut self, signal: Signal) -> Result<(), HarnessError> {
        self.running.signal(signal)
    }
}

/// Waits for the line by which a server says where it listens: its URL, without a path.
///
/// # Errors
///
/// [`HarnessError::TimedOut`] when it says nothing within a minute, [`HarnessError::NotListening`] when it ends
/// instead.
pub fn listening(running: &Running) -> Result<String, HarnessError> {
    let line = || {
        let text = running.stdout_so_far();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("listening on "))?;
        // The line may have been read in part.
        text.contains(&format!("{line}\n")).then(|| line.to_owned())
    };
    wait::some(START, "the server to listen", || {
        if let Some(url) = line() {
            return Some(Ok(url));
        }
        // One that has ended will never say it.
        let ended = crate::process::find(running.pid()).is_none_or(|process| process.is_zombie());
        ended.then(|| {
            Err(HarnessError::NotListening {
                log: running.stderr_so_far(),
            })
        })
    })?
}
