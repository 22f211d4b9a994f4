//! A PostgreSQL cluster of the tests' own, and one empty database per test.
//!
//! A cluster listens on a unix socket only, in a directory of its own under `/var/tmp` (a disk,
//! where `/tmp` may be memory), with `fsync` **on**: crash tests and durable figures need it. As
//! root it runs as the user `postgres`, since PostgreSQL refuses to run as root; otherwise as
//! whoever runs the tests. Creation and start take about half a second.
//!
//! **It ends with its owner**, also when the owner is killed by SIGKILL: the cluster belongs to a
//! keeper (`keeper.sh`), a shell in a process group of its own, whose standard input is a pipe that
//! the owner holds. The kernel closes the pipe when the owner is gone, and the keeper stops the
//! server and removes the directory. Only a SIGKILL of the keeper itself can leave one behind.
//!
//! ```no_run
//! use moorline_testkit::postgres;
//!
//! let database = postgres::create_database().expect("this suite needs PostgreSQL");
//! println!("{}", database.url()); // connect to it; it is dropped with the value
//! ```
//!
//! PostgreSQL that can not be found or started is a [`PostgresError`]. A test unwraps it: what is
//! missing then fails the suite, and never shrinks it (L76).

mod binaries;
mod url;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::{fmt, io};

use self::url::ConnectionUrl;
use crate::chaos::Proxy;
use crate::{canary, env};

pub use self::binaries::find as find_binaries;

const KEEPER: &str = include_str!("keeper.sh");

/// The whole path of a unix socket has to fit into 108 bytes, so the directory has a short name.
const DIRECTORY_PREFIX: &str = "moorline-postgres-";

/// Why there is no PostgreSQL for the test.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// Its programs are neither on the `PATH` nor in Debian's place.
    #[error(
        "postgresql was not found on the PATH or under /usr/lib/postgresql; \
         `cargo xtask setup` installs it, or set {} to the URL of a running server",
        env::POSTGRES_URL
    )]
    NotFound,
    /// The variable is set, but not to a URL of PostgreSQL.
    #[error(
        "{} is not of the form postgres://user@host/database",
        env::POSTGRES_URL
    )]
    BadUrl,
    /// A program could not be started at all.
    #[error("could not run {program}")]
    Run {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The cluster did not come up. The text is the end of its log.
    #[error("postgresql did not start: {log}")]
    Start {
        /// Which step failed, and the last lines of its log.
        log: String,
    },
    /// `psql` refused a statement.
    #[error("`{statement}` failed: {message}")]
    Statement {
        /// The statement.
        statement: String,
        /// What `psql` wrote to its standard error.
        message: String,
    },
}

/// How [`Postgres::start_with`] sets a cluster up.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Whether commits reach the disk. On by default.
    pub fsync: bool,
    /// Where the cluster's directory is made. `/var/tmp` by default.
    pub parent: PathBuf,
    /// Further lines of `postgresql.conf`, such as `log_statement = all`.
    pub settings: Vec<String>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            fsync: true,
            parent: PathBuf::from("/var/tmp"),
            settings: Vec::new(),
        }
    }
}

/// A running PostgreSQL server, either one of our own that ends with this value, or one that
/// [`env::POSTGRES_URL`] names. Clones share it.
#[derive(Debug, Clone)]
pub struct Postgres {
    url: ConnectionUrl,
    psql: PathBuf,
    /// Held for its `Drop`.
    keeper: Option<Arc<Keeper>>,
}

impl Postgres {
    /// Creates and starts a cluster with [`PostgresOptions::default`].
    ///
    /// # Errors
    ///
    /// [`PostgresError`] when PostgreSQL is not installed or does not come up.
    pub fn start() -> Result<Self, PostgresError> {
        Self::start_with(&PostgresOptions::default())
    }

    /// Creates and starts a cluster.
    ///
    /// # Errors
    ///
    /// As [`Postgres::start`].
    pub fn start_with(options: &PostgresOptions) -> Result<Self, PostgresError> {
        let binaries = binaries::find().ok_or(PostgresError::NotFound)?;
        let directory = options
            .parent
            .join(format!("{DIRECTORY_PREFIX}{}", canary::random_hex(8)));
        let keeper = Keeper::start(&directory, &binaries, &settings(options, &directory))?;
        let url = format!(
            "postgres://postgres@localhost/postgres?host={}",
            directory.display()
        );
        Ok(Self {
            url: ConnectionUrl::parse(&url).ok_or(PostgresError::BadUrl)?,
            psql: binaries.join("psql"),
            keeper: Some(Arc::new(keeper)),
        })
    }

    /// The one server of this test process: the one of [`env::POSTGRES_URL`] where that is set (as
    /// under `cargo xtask test`), otherwise a cluster that is started by the first call and ends
    /// with the process.
    ///
    /// # Errors
    ///
    /// As [`Postgres::start`]; every later call gets the same error.
    pub fn shared() -> Result<&'static Self, &'static PostgresError> {
        static SHARED: OnceLock<Result<Postgres, PostgresError>> = OnceLock::new();
        SHARED
            .get_or_init(|| match env::read(env::POSTGRES_URL) {
                Some(url) => Self::at(&url),
                None => Self::start(),
            })
            .as_ref()
    }

    fn at(url: &str) -> Result<Self, PostgresError> {
        let psql = binaries::find().map_or_else(|| PathBuf::from("psql"), |bin| bin.join("psql"));
        let url = ConnectionUrl::parse(url).ok_or(PostgresError::BadUrl)?;
        Ok(Self {
            url,
            psql,
            keeper: None,
        })
    }

    /// The URL of its maintenance database, for [`env::POSTGRES_URL`].
    pub fn url(&self) -> String {
        self.url.to_text()
    }

    /// Ends the server at once, as a crash does (`pg_ctl stop --mode=immediate`): connections break, and new ones
    /// are refused until [`Postgres::resume`]. Only for a cluster that was [started](Postgres::start) for one test.
    ///
    /// # Errors
    ///
    /// [`PostgresError::Run`], also for a server that is not ours; [`PostgresError::Start`] when it does not end.
    pub fn crash(&self) -> Result<(), PostgresError> {
        self.control(&["stop", "--mode=immediate"])
    }

    /// Starts the server again after [`Postgres::crash`]: it recovers what was committed.
    ///
    /// # Errors
    ///
    /// As [`Postgres::crash`].
    pub fn resume(&self) -> Result<(), PostgresError> {
        self.control(&["start", "--timeout=60"])
    }

    fn control(&self, arguments: &[&str]) -> Result<(), PostgresError> {
        let failed = |source| PostgresError::Run {
            program: "pg_ctl".to_owned(),
            source,
        };
        let keeper = self.keeper.as_ref();
        let keeper = keeper.ok_or_else(|| failed(io::ErrorKind::Unsupported.into()))?;
        let (log, pg_ctl) = (
            keeper.directory.join("server.log"),
            self.psql.with_file_name("pg_ctl"),
        );
        let mut words = as_database_user().iter().map(Path::new);
        let mut command = command(words.next().unwrap_or(&pg_ctl));
        command.args(words);
        if !as_database_user().is_empty() {
            command.arg(&pg_ctl);
        }
        let status = command
            .args(arguments)
            .args(["--wait", "--silent", "--pgdata"])
            .arg(keeper.directory.join("data"))
            .arg("--log")
            .arg(&log)
            // The working directory may be one that the user of the database can not enter.
            .current_dir(&keeper.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(failed)?;
        if status.success() {
            return Ok(());
        }
        let written = std::fs::read_to_string(&log).unwrap_or_default();
        let last = written.lines().rev().take(20).collect::<Vec<_>>();
        let last: Vec<&str> = last.into_iter().rev().collect();
        Err(PostgresError::Start {
            log: format!("{status}: {}", last.join("\n")),
        })
    }

    /// Creates an empty database with a random name. It is dropped with the value.
    ///
    /// # Errors
    ///
    /// [`PostgresError::Run`] and [`PostgresError::Statement`].
    pub fn create_database(&self) -> Result<TestDatabase, PostgresError> {
        let name = format!("moorline_test_{}", canary::random_hex(8));
        self.execute(&format!("CREATE DATABASE {name}"))?;
        Ok(TestDatabase {
            url: self.url.with_database(&name).to_text(),
            name,
            server: self.clone(),
        })
    }

    /// Runs one SQL statement in the maintenance database.
    ///
    /// # Errors
    ///
    /// [`PostgresError::Run`] and [`PostgresError::Statement`].
    pub fn execute(&self, statement: &str) -> Result<(), PostgresError> {
        self.execute_in(&self.url, statement)
    }

    fn execute_in(&self, database: &ConnectionUrl, statement: &str) -> Result<(), PostgresError> {
        let output = command(&self.psql)
            .args([
                "--no-psqlrc",
                "--no-password",
                "--quiet",
                "--set=ON_ERROR_STOP=1",
            ])
            .args(["--command", statement])
            .envs(database.libpq_environment())
            .stdin(Stdio::null())
            .output()
            .map_err(|source| PostgresError::Run {
                program: "psql".to_owned(),
                source,
            })?;
        if output.status.success() {
            return Ok(());
        }
        Err(PostgresError::Statement {
            statement: statement.to_owned(),
            message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    /// The process id of the keeper, for a test that kills things; `None` where the server is not
    /// ours.
    pub fn keeper_pid(&self) -> Option<u32> {
        self.keeper.as_ref().map(|keeper| keeper.child.id())
    }
}

/// Creates an empty database on the [shared](Postgres::shared) server.
///
/// # Errors
///
/// What went wrong, with its causes, as one text: a test has nothing to do with it but to fail.
pub fn create_database() -> Result<TestDatabase, String> {
    let server = Postgres::shared().map_err(with_causes)?;
    server
        .create_database()
        .map_err(|error| with_causes(&error))
}

fn with_causes(error: &PostgresError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

/// An empty database of one test. Dropping the value drops the database, whoever is connected.
#[derive(Debug)]
pub struct TestDatabase {
    url: String,
    name: String,
    server: Postgres,
}

impl TestDatabase {
    /// Its URL, for sqlx and libpq alike.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts a network that can break before its server. Gives it, and the URL that leads through it.
    ///
    /// # Errors
    ///
    /// [`PostgresError::Run`] when there is no port for it.
    pub fn behind_a_network(&self) -> Result<(Proxy, String), PostgresError> {
        let database = self.server.url.with_database(&self.name);
        let (upstream, user) = database.upstream();
        let proxy = Proxy::start(upstream).map_err(|source| PostgresError::Run {
            program: "the proxy".to_owned(),
            source,
        })?;
        let (address, name) = (proxy.address(), &self.name);
        let url = format!("postgres://{user}@{address}/{name}?sslmode=disable");
        Ok((proxy, url))
    }

    /// Runs one SQL statement in it, behind the back of whoever uses it.
    ///
    /// # Errors
    ///
    /// [`PostgresError::Run`] and [`PostgresError::Statement`].
    pub fn execute(&self, statement: &str) -> Result<(), PostgresError> {
        let database = self.server.url.with_database(&self.name);
        self.server.execute_in(&database, statement)
    }

    /// Everything that is in it, as `pg_dump` writes it: values stand as they are, but for single quotes.
    ///
    /// # Errors
    ///
    /// [`PostgresError::Run`] where there is no `pg_dump` beside `psql`, and [`PostgresError::Statement`].
    pub fn dump(&self) -> Result<Vec<u8>, PostgresError> {
        let database = self.server.url.with_database(&self.name);
        let output = command(&self.server.psql.with_file_name("pg_dump"))
            .args(["--no-password", "--inserts"])
            .envs(database.libpq_environment())
            .stdin(Stdio::null())
            .output()
            .map_err(|source| PostgresError::Run {
                program: "pg_dump".to_owned(),
                source,
            })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(PostgresError::Statement {
            statement: "pg_dump".to_owned(),
            message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // What can not be dropped goes with its cluster.
        drop(self.server.execute(&format!(
            "DROP DATABASE IF EXISTS {} WITH (FORCE)",
            self.name
        )));
    }
}

/// The process that owns a cluster. See the module's text.
#[derive(Debug)]
struct Keeper {
    child: Child,
    directory: PathBuf,
}

impl Keeper {
    fn start(directory: &Path, binaries: &Path, settings: &str) -> Result<Self, PostgresError> {
        use std::os::unix::process::CommandExt as _;

        let failed = |source| PostgresError::Run {
            program: "sh".to_owned(),
            source,
        };
        let mut child = command(Path::new("/bin/sh"))
            .args(["-c", KEEPER, "keeper"])
            .args([directory, binaries])
            .arg(settings)
            .args(as_database_user())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // An interrupt from the terminal must not reach it: it has to outlive the tests.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let mut said = String::new();
        if let Some(stdout) = &mut child.stdout {
            read_verdict(stdout, &mut said).map_err(failed)?;
        }
        let keeper = Self {
            child,
            directory: directory.to_owned(),
        };
        match said.as_str() {
            "ready\n" => Ok(keeper),
            log => Err(PostgresError::Start {
                log: log.trim().to_owned(),
            }),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

/// Reads `ready`, or everything up to the end, which is the reason.
fn read_verdict(stdout: &mut impl io::Read, said: &mut String) -> io::Result<()> {
    let mut byte = [0];
    while said != "ready\n" && stdout.read(&mut byte)? == 1 {
        said.push(char::from(byte[0]));
    }
    Ok(())
}

fn settings(options: &PostgresOptions, directory: &Path) -> String {
    let fsync = if options.fsync { "on" } else { "off" };
    let mut lines = vec![
        "listen_addresses = ''".to_owned(),
        format!("unix_socket_directories = '{}'", directory.display()),
        format!("fsync = {fsync}"),
        "max_connections = 200".to_owned(),
    ];
    lines.extend(options.settings.iter().cloned());
    lines.join("\n")
}

/// PostgreSQL refuses to run as root; Debian's package brings the user `postgres`.
fn as_database_user() -> &'static [&'static str] {
    if rustix::process::geteuid().is_root() {
        &[
            "setpriv",
            "--reuid=postgres",
            "--regid=postgres",
            "--clear-groups",
            "--",
        ]
    } else {
        &[]
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "test support: a database server is a process"
)]
fn command(program: &Path) -> Command {
    Command::new(program)
}

impl fmt::Debug for ConnectionUrl {
    /// Without the authority, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionUrl(…)")
    }
}
