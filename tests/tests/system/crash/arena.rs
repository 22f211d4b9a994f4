//! Where kills happen: a home of its own with a store, the jobs, and the witnesses.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use moorline_store::StoreError;
use moorline_testkit::moorline::{Moorline, Output, Running};
use moorline_testkit::postgres::{self, Postgres, TestDatabase};
use moorline_testkit::{canary, process, wait};
use serde::Deserialize;
use tokio::runtime::{self, Runtime};

use super::job::{self, VOLUME, Variant, WITNESS, Witnessed};
use super::ledger::Ledger;
use super::plan::Plan;

/// How long a command may take before the harness gives up on it.
pub(super) const PATIENCE: Duration = Duration::from_secs(50);

/// Which store the runs are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backend {
    Sqlite,
    Postgres,
}

/// A state directory, its store and its jobs.
#[derive(Debug)]
pub(super) struct Arena {
    moorline: Moorline,
    database: Option<TestDatabase>,
    runtime: Runtime,
    /// In the environment of every process of every step.
    pub(super) marker: String,
}

/// Who runs an attempt: what a supervisor leaves as `claim.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Claim {
    pub(super) run_id: String,
    pub(super) pid: u32,
    pub(super) start_time: u64,
}

impl Arena {
    pub(super) fn new(backend: Backend) -> Self {
        let mut moorline = Moorline::new().unwrap();
        let database = (backend == Backend::Postgres).then(|| postgres::create_database().unwrap());
        if let Some(database) = &database {
            moorline = moorline.env("MOORLINE_STORE", database.url());
        }
        let marker = format!("crash-{}", canary::random_hex(8));
        let arena = Self {
            database,
            runtime: runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap(),
            marker,
            moorline,
        };
        // A kill before the first run has made it would leave the next command nothing to look at.
        let made = arena.moorline.run(["init"]).unwrap();
        assert_eq!(made.code, Some(0), "{made}");
        fs::create_dir(arena.witness_dir()).unwrap();
        for variant in Variant::ALL {
            job::write(
                &arena.root().join("jobs"),
                variant,
                &arena.marker,
                &arena.witness_dir(),
            );
        }
        arena
    }

    fn root(&self) -> &Path {
        self.moorline.root()
    }

    pub(super) fn state_dir(&self) -> PathBuf {
        self.moorline.state_dir()
    }

    /// Where jobs that are not in the sandbox leave their lines.
    pub(super) fn witness_dir(&self) -> PathBuf {
        self.root().join("witness")
    }

    pub(super) fn store_files(&self) -> [PathBuf; 2] {
        ["store.db", "store.db-wal"].map(|name| self.state_dir().join(name))
    }

    /// The arguments of the run of a kill; a bystander's are those of no kill.
    fn arguments(&self, variant: Variant, kill: Option<u32>) -> Vec<String> {
        let job = self
            .root()
            .join("jobs")
            .join(variant.job_id())
            .display()
            .to_string();
        let mut arguments = vec![
            "run".into(),
            job,
            "--isolation".into(),
            variant.isolation().into(),
        ];
        if let Some(number) = kill {
            arguments.extend(["--param".into(), format!("kill={number}")]);
            arguments.extend(["--idempotency-key".into(), format!("kill-{number}")]);
        }
        arguments
    }

    /// Starts the run of a kill.
    pub(super) fn start(&self, plan: &Plan) -> Running {
        self.moorline
            .spawn(self.arguments(plan.variant(), Some(plan.number)))
            .unwrap()
    }

    /// Starts a run that nobody kills.
    pub(super) fn start_undisturbed(&self, variant: Variant) -> Running {
        self.moorline.spawn(self.arguments(variant, None)).unwrap()
    }

    /// Asks for the run of a kill once more, under its idempotency key.
    pub(super) fn ask_again(&self, plan: &Plan) -> Output {
        let mut arguments = self.arguments(plan.variant(), Some(plan.number));
        arguments.push("--json".into());
        self.command(arguments)
    }

    /// Runs a command to its end.
    pub(super) fn command<I>(&self, arguments: I) -> Output
    where
        I: IntoIterator<Item: AsRef<std::ffi::OsStr>>,
    {
        self.moorline
            .spawn(arguments)
            .unwrap()
            .wait(PATIENCE)
            .unwrap()
    }

    /// What the store says.
    pub(super) fn ledger(&self) -> Result<Ledger, StoreError> {
        match &self.database {
            Some(database) => Ledger::of_postgres(&self.runtime, database.url()),
            None => Ledger::of_sqlite(&self.runtime, &self.state_dir().join("store.db")),
        }
    }

    /// Waits until the database server has noticed that its clients are gone. Before that, a commit that a
    /// killed client had sent can still take place, after the next command has looked.
    pub(super) fn wait_for_the_server(&self) {
        let Some(database) = &self.database else {
            return;
        };
        let name = database.name();
        let alone = format!(
            "DO $$ BEGIN IF EXISTS (SELECT FROM pg_stat_activity WHERE datname = '{name}') \
             THEN RAISE 'busy'; END IF; END $$"
        );
        let server = Postgres::shared().unwrap();
        wait::until(PATIENCE, "the server to be alone", || {
            server.execute(&alone).is_ok()
        })
        .unwrap();
    }

    /// Every line that a step of this arena has written.
    pub(super) fn witnessed(&self) -> Vec<Witnessed> {
        let volume = self.state_dir().join("volumes").join(VOLUME);
        let witnesses = [self.witness_dir(), volume];
        witnesses
            .iter()
            .flat_map(|dir| job::read_witness(&dir.join(WITNESS)))
            .collect()
    }

    /// Whether other machines could share the store.
    pub(super) fn is_shared(&self) -> bool {
        self.database.is_some()
    }

    /// Names in a directory below the state directory.
    pub(super) fn names_in(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.state_dir().join(directory));
        let entries = entries.into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    fn attempt_dir(&self, attempt: &str) -> PathBuf {
        self.state_dir().join("attempts").join(attempt)
    }

    /// Ids of the attempts that have a directory, in the order of their claims.
    pub(super) fn attempts(&self) -> Vec<String> {
        self.names_in("attempts")
    }

    pub(super) fn has_claim(&self, attempt: &str) -> bool {
        self.attempt_dir(attempt).join("claim.json").exists()
    }

    pub(super) fn has_exit(&self, attempt: &str) -> bool {
        self.attempt_dir(attempt).join("exit.json").exists()
    }

    /// Who runs an attempt, once a supervisor has taken it.
    pub(super) fn claim(&self, attempt: &str) -> Option<Claim> {
        let text = fs::read(self.attempt_dir(attempt).join("claim.json")).ok()?;
        Some(serde_json::from_slice(&text).unwrap())
    }

    /// Processes of this arena that still run: jobs and what they left, supervisors, commands.
    pub(super) fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        for marker in [self.marker.as_str(), &self.root().display().to_string()] {
            let found = process::matching(marker).unwrap();
            left.extend(
                found
                    .iter()
                    .map(|p| format!("process {} {:?}", p.pid, p.argv)),
            );
        }
        for attempt in self.attempts() {
            if let Some(claim) = self.claim(&attempt)
                && process::alive(claim.pid, claim.start_time)
            {
                left.push(format!("supervisor {} of attempt {attempt}", claim.pid));
            }
        }
        left
    }

    /// The published files of each run of a job, and everything that lies beside them.
    pub(super) fn exports(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let mut exports = BTreeMap::new();
        for job in fs::read_dir(self.state_dir().join("exports"))
            .into_iter()
            .flatten()
            .flatten()
        {
            for entry in fs::read_dir(job.path()).unwrap().flatten() {
                let name = entry.file_name().into_string().unwrap();
                if entry.file_type().unwrap().is_symlink() {
                    // `latest` has to lead somewhere; what it leads to is there under its own name.
                    assert!(
                        entry.path().is_dir(),
                        "{} leads nowhere",
                        entry.path().display()
                    );
                    continue;
                }
                let files = fs::read_dir(entry.path()).unwrap().flatten();
                let text = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
                let files = files.map(|f| (f.file_name().into_string().unwrap(), text(f.path())));
                exports.insert(name, files.collect());
            }
        }
        exports
    }
}
