//! The job that is run while things are killed: three steps, each of which leaves a line where no store
//! is, feeds the next one, and leaves processes behind that somebody has to end.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Names of the steps, in order.
pub(super) const STEPS: [&str; 3] = ["fetch", "convert", "publish"];

/// What each step runs: `$1` is the step before it.
///
/// The witness line is one write of an `O_APPEND` descriptor, and the first thing that happens. Both
/// sleepers outlive the step unless they are ended with it; the second one leaves its session too.
const SCRIPT: &str = r#"set -eu
echo "$MOORLINE_RUN_ID $MOORLINE_STEP $MOORLINE_ATTEMPT_ID $$" >> "$WITNESS"
echo "began $MOORLINE_ATTEMPT_ID"
sleep 300 &
setsid sleep 300 &
sleep "$BODY_SECONDS"
before=
if [ -n "${1:-}" ]; then
    before=$(sed -n "s|.*\"path\":\"\([^\"]*/$1\.txt\)\".*|\1|p" "$MOORLINE_INPUT")
fi
{ [ -z "$before" ] || cat "$before"; echo "$MOORLINE_STEP of $MOORLINE_RUN_ID"; } \
    > "$MOORLINE_OUTPUT_DIR/$MOORLINE_STEP.txt"
"#;

/// Where the steps find the volume in the sandbox.
const VOLUME_PATH: &str = "/witness";

/// Name of the volume.
pub(super) const VOLUME: &str = "witness";

/// Name of the witness file.
pub(super) const WITNESS: &str = "lines";

/// How a job is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Variant {
    pub(super) sandboxed: bool,
    pub(super) idempotent: bool,
}

impl Variant {
    pub(super) const ALL: [Self; 4] = [
        Self {
            sandboxed: false,
            idempotent: false,
        },
        Self {
            sandboxed: false,
            idempotent: true,
        },
        Self {
            sandboxed: true,
            idempotent: false,
        },
        Self {
            sandboxed: true,
            idempotent: true,
        },
    ];

    /// Its job id, and the name of its directory.
    pub(super) const fn job_id(self) -> &'static str {
        match (self.sandboxed, self.idempotent) {
            (false, false) => "plain",
            (false, true) => "plain-idempotent",
            (true, false) => "sandboxed",
            (true, true) => "sandboxed-idempotent",
        }
    }

    /// The value of `--isolation`.
    pub(super) const fn isolation(self) -> &'static str {
        if self.sandboxed { "required" } else { "off" }
    }
}

/// Writes a job directory below `jobs`. Steps have `marker` in their environment; `witness` is the
/// directory of the witness file of a job that is not in the sandbox.
pub(super) fn write(jobs: &Path, variant: Variant, marker: &str, witness: &Path) -> PathBuf {
    let dir = jobs.join(variant.job_id());
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("step.sh"), SCRIPT).unwrap();
    let mut before = "";
    let mut steps = Vec::new();
    for name in STEPS {
        steps.push(step(variant, name, before, marker, witness));
        before = name;
    }
    let spec = json!({"job_id": variant.job_id(), "params": {"kill": -1}, "steps": steps});
    fs::write(dir.join("job_spec.json"), spec.to_string()).unwrap();
    dir
}

fn step(variant: Variant, name: &str, before: &str, marker: &str, witness: &Path) -> Value {
    let inside = if variant.sandboxed {
        Path::new(VOLUME_PATH)
    } else {
        witness
    };
    let mut step = json!({
        "name": name,
        "argv": ["/bin/sh", "step.sh", before],
        "env": {
            "CRASH_MARKER": marker,
            "WITNESS": inside.join(WITNESS),
            "BODY_SECONDS": "0.01",
        },
        "egress": "none",
        "timeout_seconds": 60,
        "outputs": [{"path": format!("{name}.txt"), "export": name == STEPS[2]}],
    });
    if variant.sandboxed {
        step["mounts"] = json!([{"volume": VOLUME, "path": VOLUME_PATH, "read_only": false}]);
    }
    if variant.idempotent {
        step["idempotent"] = json!(true);
        step["retries"] = json!({"max": 3, "initial_delay_seconds": 0.01, "on": ["preempted"]});
    }
    step
}

/// What a successful run exports, to the byte.
pub(super) fn export_of(run: &str) -> String {
    STEPS.map(|step| format!("{step} of {run}\n")).concat()
}

/// One line of the witness: a process that a step started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Witnessed {
    pub(super) run: String,
    pub(super) step: String,
    pub(super) attempt: String,
}

/// Every line of a witness file, in the order of their writing; none when nothing was ever started.
pub(super) fn read_witness(file: &Path) -> Vec<Witnessed> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = |line: &str| match *line.split(' ').collect::<Vec<_>>().as_slice() {
        [run, step, attempt, _pid] => Witnessed {
            run: run.into(),
            step: step.into(),
            attempt: attempt.into(),
        },
        _ => panic!(
            "the witness {} has a line that no step wrote: {line:?}",
            file.display()
        ),
    };
    text.lines().map(line).collect()
}
