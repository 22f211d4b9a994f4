//! What an executor launches and what it reports: [`Attempt`], [`Handle`], [`Outcome`].
//!
//! All three are plain data. An attempt names host paths only as sources; where its files appear to the
//! job is the executor's business, so the same attempt can run on this machine or in a Modal sandbox.
//! A handle is persisted before the attempt counts as started (D-RUN-4), so any process can re-attach.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::ids::{ApprovalId, AttemptId, RunId};
use crate::protocol::Reply;
use crate::spec::{Arg, Egress, GpuChoice, Mode};

/// One launch of one step: everything an executor needs, and no secret value (those travel beside it).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Identity; `launch` is idempotent in it.
    pub id: AttemptId,
    /// The run this belongs to.
    pub run_id: RunId,
    /// The installation that owns the attempt, for `find_owned` after a crash.
    pub owner: String,
    /// Job id, for labels and the environment.
    pub job_id: String,
    /// Source id, when the job reads one.
    pub source_id: Option<String>,
    /// Lane name.
    pub lane: String,
    /// Mock or real.
    pub mode: Mode,
    /// Step name.
    pub step: String,
    /// 1 for the first attempt of the step.
    pub number: u32,
    /// The command, never a shell string (D-RUN-5).
    pub argv: Vec<Arg>,
    /// Plain environment variables of the step; `MOORLINE_*` is added by the executor.
    pub env: BTreeMap<String, String>,
    /// The job directory, mounted read-only as the working directory.
    pub bundle: PathBuf,
    /// Working directory inside the bundle.
    pub working_dir: Option<String>,
    /// Job parameters, given in the input file.
    pub params: Map<String, Value>,
    /// Declared inputs by name.
    pub inputs: BTreeMap<String, InputFile>,
    /// What earlier steps left, by step name.
    pub steps: BTreeMap<String, StepData>,
    /// What the workflow of the job gives the step; absent for a job without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<Box<WorkflowInput>>,
    /// Extra mounts, explicit per step (D-SPEC-4).
    pub mounts: Vec<Mount>,
    /// Limits on time, memory, processes, disk and log.
    pub limits: Limits,
    /// Which network destinations are reachable.
    pub egress: Egress,
    /// Whether missing protections refuse the launch.
    pub isolation: IsolationNeed,
    /// The image reference, for executors that have images.
    pub image: Option<String>,
    /// GPU choices, best first, for executors that have GPUs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpu: Vec<GpuChoice>,
    /// Whether what it prepares in its file system may be kept for the next run of the same step, on
    /// executors that can start from a snapshot.
    #[serde(default)]
    pub warm_start: bool,
    /// Objects whose values only the place where it runs can hand over; on executors that say
    /// `secret_objects`. Values that were given beside the attempt win over them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_objects: Vec<SecretObjectRef>,
}

/// A secret object that is named and not read: its values are handed over where the attempt runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SecretObjectRef {
    /// The Modal environment that it is in; empty for the workspace's default one.
    pub environment: String,
    /// Its name.
    pub name: String,
    /// The keys that the step declares.
    pub keys: Vec<String>,
    /// The keys that it also has, which are kept out of the step's environment (D-SEC-4).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<String>,
}

/// A file handed to the job, copied or mounted read-only under the input directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    /// Where it is on the host.
    pub source: PathBuf,
    /// Its path below the input directory, e.g. `statement/checking.ofx`.
    pub path: String,
    /// Bytes.
    pub size: u64,
}

/// What one earlier step left for later ones.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StepData {
    /// `data` of its result line, or null.
    pub data: Value,
    /// Its output files.
    pub outputs: Vec<InputFile>,
}

/// What a workflow gives a step: members of its input document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkflowInput {
    /// The keys of the run's state that the step reads, as far as they are there (D-FLOW-2).
    pub state: Map<String, Value>,
    /// How often the run came to the step, this time included.
    pub visit: u32,
    /// The decision that permits the step, for a step that needs one (D-FLOW-7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<StepApproval>,
}

/// The decision that permits a step once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepApproval {
    /// The gate.
    pub gate: String,
    /// The request that was decided. No other step was ever permitted by it, so whoever takes money can
    /// take it for a key that pays once.
    pub request: ApprovalId,
    /// The option that was chosen.
    pub option: String,
    /// Who chose it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// A host directory mounted into the attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Host directory.
    pub source: PathBuf,
    /// Absolute path inside.
    pub path: String,
    /// Whether writes are refused.
    pub read_only: bool,
}

impl Attempt {
    /// The input document of the process contract, with every path below `input_dir` as the job sees it.
    /// `state`, `visit` and `approval` are there for a step of a workflow only.
    pub fn input_document(&self, input_dir: &str) -> Value {
        let file = |f: &InputFile| {
            let name = f.path.rsplit('/').next().unwrap_or(&f.path);
            json!({"path": format!("{input_dir}/{}", f.path), "name": name, "size": f.size})
        };
        let inputs: Map<String, Value> = self
            .inputs
            .iter()
            .map(|(name, f)| (name.clone(), file(f)))
            .collect();
        let steps: Map<String, Value> = self
            .steps
            .iter()
            .map(|(name, step)| {
                let outputs: Vec<Value> = step.outputs.iter().map(file).collect();
                (name.clone(), json!({"data": step.data, "outputs": outputs}))
            })
            .collect();
        let mut document = json!({
            "run_id": self.run_id,
            "job_id": self.job_id,
            "source_id": self.source_id,
            "step": self.step,
            "attempt": self.number,
            "mode": self.mode,
            "lane": self.lane,
            "params": self.params,
            "inputs": inputs,
            "steps": steps,
        });
        if let Some(given) = &self.workflow {
            document["state"] = Value::Object(given.state.clone());
            document["visit"] = given.visit.into();
            if let Some(approval) = &given.approval {
                document["approval"] = json!(approval);
            }
        }
        document
    }

    /// Every file below the input directory, inputs first.
    pub fn input_files(&self) -> impl Iterator<Item = &InputFile> {
        self.inputs
            .values()
            .chain(self.steps.values().flat_map(|step| &step.outputs))
    }

    /// The `MOORLINE_*` variables that do not depend on where the job's directories are.
    pub fn contract_env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("MOORLINE_PROTOCOL", "1".to_owned()),
            ("MOORLINE_RUN_ID", self.run_id.to_string()),
            ("MOORLINE_ATTEMPT_ID", self.id.to_string()),
            ("MOORLINE_ATTEMPT", self.number.to_string()),
            ("MOORLINE_JOB_ID", self.job_id.clone()),
            (
                "MOORLINE_SOURCE_ID",
                self.source_id.clone().unwrap_or_default(),
            ),
            ("MOORLINE_STEP", self.step.clone()),
            ("MOORLINE_MODE", self.mode.to_string()),
            ("MOORLINE_LANE", self.lane.clone()),
        ]
    }
}

/// Limits of one attempt; `None` leaves that resource to the executor's own default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Wall-clock bound, after which the attempt ends as timed out.
    pub timeout: Duration,
    /// Between the polite signal and the kill.
    pub grace: Duration,
    /// Cores.
    pub cpu: Option<f64>,
    /// Bytes of memory, all processes together.
    pub memory_bytes: Option<u64>,
    /// Bytes written to `/tmp` and to the outputs, each.
    pub disk_bytes: Option<u64>,
    /// Processes and threads at once.
    pub pids: Option<u64>,
    /// Bytes of log kept; more is counted and dropped.
    pub log_bytes: u64,
}

impl Default for Limits {
    /// One hour, ten seconds of grace, 16 MiB of log.
    fn default() -> Self {
        Self {
            timeout: Duration::from_hours(1),
            grace: Duration::from_secs(10),
            cpu: None,
            memory_bytes: None,
            disk_bytes: None,
            pids: None,
            log_bytes: 16 << 20,
        }
    }
}

/// How an executor treats protections that this machine can not give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IsolationNeed {
    /// Refuse to launch, naming what is missing (production lanes).
    Required,
    /// Launch with what there is, and say in the summary what is missing (dev lane).
    BestEffort,
    /// Ask for no sandbox at all: a plain process with its tree under control. Said in the summary.
    Off,
}

/// A launched attempt, as data: enough for any process to find it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Handle {
    /// The executor that made it.
    pub executor: String,
    /// The attempt it stands for.
    pub attempt_id: AttemptId,
    /// The executor's own coordinates (local: directory, pid, start time, boot id; Modal: sandbox id).
    pub data: Value,
}

/// What an executor sees of an attempt now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Observation {
    /// Launched, not over.
    Running,
    /// Over, with its outcome.
    Over(Box<Outcome>),
}

/// How an attempt ended, and what it used. The executor's whole report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// How its main process ended.
    pub exit: Exit,
    /// Limits that were hit, in the order seen; the first one names the failure.
    pub limits_hit: Vec<LimitHit>,
    /// When the job's process started; absent when it never did.
    pub started_at: Option<Timestamp>,
    /// When the last process of its tree was gone.
    pub ended_at: Timestamp,
    /// Measured use.
    pub usage: Usage,
    /// What protected the host from the job, and what did not.
    pub isolation: Isolation,
    /// What it said by the line protocol.
    pub reply: Reply,
    /// Destinations that the egress rule refused, at most 100.
    pub egress_denied: Vec<String>,
    /// Bytes of log seen and dropped.
    pub log: LogStats,
}

/// How the main process of an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Exit {
    /// It exited by itself.
    Exited {
        /// Its code, 0 to 255.
        code: i32,
    },
    /// A signal ended it, one that Moorline did not send.
    Signaled {
        /// The signal's number.
        signal: i32,
    },
    /// It ran past its timeout and was killed.
    TimedOut,
    /// It was cancelled or stopped by request and its tree is gone.
    Cancelled,
    /// It was never started, and will not be: nothing ran.
    NotStarted {
        /// Why, without secrets.
        reason: String,
    },
    /// It was started, and neither it nor its exit record can be found.
    Lost {
        /// What was looked for.
        reason: String,
    },
    /// The platform took it away.
    Preempted {
        /// The platform's words.
        reason: String,
    },
}

/// A limit of the attempt that was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LimitHit {
    /// Which.
    pub kind: LimitKind,
    /// What was seen, e.g. `256 MiB, 1 process killed by the kernel`.
    pub detail: String,
}

/// The limits that an attempt can hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// Memory of all processes.
    Memory,
    /// Number of processes and threads.
    Pids,
    /// Bytes written.
    Disk,
    /// Bytes of log; never ends an attempt.
    Log,
}

/// Measured use of an attempt, whole process tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// User and system time of all processes, seconds.
    pub cpu_seconds: f64,
    /// Highest memory seen, bytes. With a memory cgroup: of all processes; else of the largest one.
    pub peak_memory_bytes: u64,
    /// From start to end, seconds.
    pub wall_seconds: f64,
}

impl Usage {
    /// Adds another attempt's use: times add up, the peak is the higher one.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds + other.cpu_seconds,
            peak_memory_bytes: self.peak_memory_bytes.max(other.peak_memory_bytes),
            wall_seconds: self.wall_seconds + other.wall_seconds,
        }
    }
}

/// What stood between the job and the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Isolation {
    /// `bubblewrap`, `process`, `modal-sandbox`, or an adapter's own word.
    pub backend: String,
    /// Protections in force.
    pub protections: Vec<Protection>,
    /// Protections that were wanted and could not be had, with the reason.
    pub missing: Vec<MissingProtection>,
}

impl Isolation {
    /// Joins the report of another attempt: a run was protected only as far as each attempt was.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        if self.backend.is_empty() {
            return other.clone();
        }
        self.protections.retain(|p| other.protections.contains(p));
        for missing in &other.missing {
            if !self.missing.contains(missing) {
                self.missing.push(missing.clone());
            }
        }
        self
    }
}

/// One thing a sandbox guarantees.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// Only the mounts of the attempt can be read or written.
    Filesystem,
    /// Host processes are invisible, and the whole tree dies with the attempt.
    Processes,
    /// Only what the egress rule allows can be reached.
    Network,
    /// System V and POSIX shared memory and abstract sockets are the attempt's own.
    Ipc,
    /// Dangerous system calls are refused.
    Syscalls,
    /// No privilege can be gained by executing something.
    NoNewPrivileges,
    /// Memory is bounded.
    Memory,
    /// The number of processes is bounded.
    Pids,
    /// Processor time is bounded.
    Cpu,
    /// Written bytes are bounded.
    Disk,
}

/// A protection that could not be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MissingProtection {
    /// Which.
    pub protection: Protection,
    /// Why, and what would give it.
    pub why: String,
}

/// How much a job wrote to its log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStats {
    /// Bytes that the job wrote to stdout and stderr.
    pub written: u64,
    /// Bytes over the cap, counted and dropped.
    pub dropped: u64,
    /// Progress and metrics that it told by the line protocol.
    #[serde(default)]
    pub messages: u64,
}
