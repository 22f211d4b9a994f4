//! Two machines on one PostgreSQL, each with a server and a state directory of its own, and the workflow that
//! ships with Moorline, whose steps leave a mark on the machine that runs them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use moorline_testkit::moorlined::{Server, ServerOptions};
use moorline_testkit::postgres::{TestDatabase, create_database};
use moorline_testkit::{canary, process, wait};
use moorline_tests::repository;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::support::{Api, PATIENCE};
use super::person::Person;

/// Started for each step: says so on its machine, leaves an output, waits while it is held, and becomes the mock
/// crew of the step. `$1` is found among the processes.
const WITNESS: &str = r#"echo "$2" >> /machine/started
echo "$2 by attempt $MOORLINE_ATTEMPT" > "$MOORLINE_OUTPUT_DIR/$2.txt"
while [ -e "/machine/hold-$2" ]; do sleep 0.05; done
exec python3 -B crew.py "$2" "$1"
"#;

/// The machines. The servers end before their database.
pub(super) struct Machines {
    pub(super) servers: [Server; 2],
    marker: String,
    _job: TempDir,
    _database: TestDatabase,
}

impl Machines {
    pub(super) fn start() -> Self {
        let database = create_database().unwrap();
        let marker = format!("seed-{}", canary::random_hex(8));
        let job = witnessed(&marker);
        let server = || server(&database, job.path());
        Self {
            servers: [server(), server()],
            marker,
            _job: job,
            _database: database,
        }
    }

    pub(super) fn url(&self, machine: usize) -> &str {
        self.servers[machine].url()
    }

    /// How often the process of each step was started, on both machines together.
    pub(super) fn started(&self) -> BTreeMap<String, usize> {
        let mut started = BTreeMap::new();
        for step in self.servers.iter().flat_map(marks) {
            *started.entry(step).or_default() += 1;
        }
        started
    }

    /// From now on, processes of this step wait.
    pub(super) fn hold(&self, step: &str) {
        for server in &self.servers {
            fs::create_dir_all(volume(server)).unwrap();
            fs::write(held(server, step), "").unwrap();
        }
    }

    /// On this machine they go on.
    pub(super) fn release(&self, machine: usize, step: &str) {
        fs::remove_file(held(&self.servers[machine], step)).unwrap();
    }

    /// The machine that started the newest process of all, once there are so many of this step.
    pub(super) fn at_work(&self, step: &str, times: usize) -> usize {
        let started = || self.started().get(step).copied().unwrap_or_default();
        wait::until(PATIENCE, "the process of the step", || started() == times).unwrap();
        let newest = |server: &Server| fs::metadata(volume(server).join("started")).ok();
        let newest = self.servers.each_ref().map(|server| {
            let data = newest(server);
            data.and_then(|data| data.modified().ok())
        });
        usize::from(newest[1] > newest[0])
    }

    /// Waits until no process of any step is left.
    pub(super) fn until_nothing_runs(&self) {
        wait::until(PATIENCE, "the processes of the job to be gone", || {
            process::matching(&self.marker).unwrap().is_empty()
        })
        .unwrap();
    }

    pub(super) fn runs_something(&self) -> bool {
        !process::matching(&self.marker).unwrap().is_empty()
    }

    /// The status of a run, as both servers tell it: the same.
    pub(super) async fn agree(&self, person: &Person, run: &str) -> Value {
        let [one, two] = [0, 1].map(|machine| person.api(self.url(machine)));
        let path = format!("/status/{run}");
        loop {
            let first = rests(&one, run).await;
            let second = reads(&two, &path).await;
            // What came in between can only be told from what differs by looking once more.
            if one.get(&path).await.1 == first {
                assert_eq!(second, first, "the servers tell the same");
                return first;
            }
        }
    }

    /// A file that a step left, as this machine has it.
    pub(super) fn output(&self, machine: usize, run: &str, step: &str) -> String {
        let outputs = self.servers[machine].state_dir().join("runs").join(run);
        let file = outputs
            .join("outputs")
            .join(step)
            .join(format!("{step}.txt"));
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }
}

/// The status of a run, once it waits for a person or is over.
pub(super) async fn rests(api: &Api, run: &str) -> Value {
    let path = format!("/status/{run}");
    api.until(&path, "a decision to wait for", |seen| {
        !matches!(seen["status"].as_str(), Some("queued" | "running"))
    })
    .await
}

/// What is at a path, once the store answers: a machine that is busy for long may say 503.
pub(super) async fn reads(api: &Api, path: &str) -> Value {
    api.until(path, "an answer", |_| true).await
}

/// The workflow that ships with Moorline, as it is, but for who starts its crews.
pub(super) fn witnessed(marker: &str) -> TempDir {
    let shipped = repository().join("examples/validation-workflow");
    let job = tempfile::tempdir().unwrap();
    fs::copy(shipped.join("crew.py"), job.path().join("crew.py")).unwrap();
    fs::write(job.path().join("witness.sh"), WITNESS).unwrap();
    let spec = fs::read(shipped.join("job_spec.json")).unwrap();
    let mut spec: Value = serde_json::from_slice(&spec).unwrap();
    for step in spec["steps"].as_array_mut().unwrap() {
        let name = step["name"].as_str().unwrap().to_owned();
        assert_eq!(step["argv"], json!(["python3", "-B", "crew.py", name]));
        step["argv"] = json!(["/bin/sh", "witness.sh", marker, name]);
        step["outputs"] = json!([{"path": format!("{name}.txt")}]);
        step["mounts"] = json!([{"volume": "machine", "path": "/machine", "read_only": false}]);
    }
    fs::write(job.path().join("job_spec.json"), spec.to_string()).unwrap();
    job
}

/// A server with a state directory of its own, whose leases are short.
fn server(database: &TestDatabase, job: &Path) -> Server {
    let config = format!(
        "lease_seconds = 15\n[server]\nkickoff_job = \"{}\"\nrate_per_second = 10000\n",
        job.display()
    );
    let options = ServerOptions::new().unwrap().store(database.url());
    options.config(&config).unwrap().start().unwrap()
}

fn volume(server: &Server) -> PathBuf {
    server.state_dir().join("volumes/machine")
}

fn held(server: &Server, step: &str) -> PathBuf {
    volume(server).join(format!("hold-{step}"))
}

/// The steps whose processes were started on a machine, in their order.
fn marks(server: &Server) -> Vec<String> {
    let marks = fs::read_to_string(volume(server).join("started")).unwrap_or_default();
    marks.lines().map(str::to_owned).collect()
}
