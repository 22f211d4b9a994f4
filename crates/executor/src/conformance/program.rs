//! What the suite's attempts do.

use std::path::PathBuf;

use moorline_core::spec::Arg;

/// What an attempt of the suite has to do where it runs. [`posix_argv`](Self::posix_argv) is how a POSIX
/// shell does it; an executor without one gives its own commands by
/// [`Harness::argv`](super::Harness::argv).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// Exits with this code, at once.
    Exit(u8),
    /// Ends itself by SIGKILL.
    KillItself,
    /// Can not be started: there is no such file.
    Missing,
    /// Prints these lines to standard output and those to standard error, and exits 0.
    Print {
        /// For standard output.
        stdout: Vec<String>,
        /// For standard error.
        stderr: Vec<String>,
    },
    /// Prints so many bytes to standard output, in lines, and exits 0.
    Flood(u64),
    /// Prints `NAME=value` for each of these environment variables, and exits 0.
    PrintEnvironment(Vec<String>),
    /// Writes the value of this environment variable to the output file `shifted`, each lower-case letter
    /// replaced by the next one and `z` by `a`.
    ShiftSecret(String),
    /// Prints the value of this environment variable to both streams, then `ready`, and stays.
    LeakAndStay(String),
    /// Writes these arguments, each with a NUL byte behind it, to the output file `arguments`.
    RecordArguments(Vec<Arg>),
    /// Writes an output file for each path and text; paths may have directories.
    WriteOutputs(Vec<(String, String)>),
    /// Copies its input document to the output file `document`, and the one file in it to `copy`.
    CopyInput,
    /// Appends a line to the output file `starts`, and to this file of the host if there is one; prints
    /// `started` and exits 0.
    RecordStart(Option<PathBuf>),
    /// Prints `ready` and stays, with the usual dispositions of signals.
    Stay,
    /// Prints `ready` and stays; on SIGTERM prints `bye` and exits 7.
    StayUntilAsked,
    /// Ignores SIGTERM. Opens the FIFO for writing, and so does a descendant that left the session by a
    /// double fork and `setsid`. Then prints `ready`, and both stay.
    StayStubborn(PathBuf),
    /// Exits 0 at once and leaves such a descendant, which also keeps standard output and error open.
    LeaveDescendant(PathBuf),
}

impl Program {
    /// The command for a machine with a POSIX shell, coreutils and `setsid`.
    pub fn posix_argv(&self) -> Vec<Arg> {
        let none = Vec::new;
        let path = |path: &PathBuf| {
            Arg::from(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec())
        };
        match self {
            Self::Exit(0) => vec!["/bin/true".into()],
            Self::Exit(code) => shell(r#"exit "$1""#, vec![code.to_string().into()]),
            Self::KillItself => shell("kill -s KILL $$", none()),
            Self::Missing => vec!["/nonexistent/program".into()],
            Self::Print { stdout, stderr } => {
                let mut arguments = vec![stdout.len().to_string().into()];
                arguments.extend(stdout.iter().chain(stderr).map(|line| line.as_str().into()));
                shell(
                    r#"n=$1; shift
                    while [ "$n" -gt 0 ]; do printf '%s\n' "$1"; shift; n=$((n - 1)); done
                    for line; do printf '%s\n' "$line" >&2; done"#,
                    arguments,
                )
            }
            Self::Flood(bytes) => shell(
                "yes 'a line of the flood, sixty-four bytes long with its own end.' | head -c $1",
                vec![bytes.to_string().into()],
            ),
            Self::PrintEnvironment(names) => shell(
                r#"for name; do printf '%s=' "$name"; printenv "$name" || echo; done"#,
                names.iter().map(|name| name.as_str().into()).collect(),
            ),
            Self::ShiftSecret(name) => shell(
                r#"printenv "$1" | tr a-z b-za > "$MOORLINE_OUTPUT_DIR/shifted""#,
                vec![name.as_str().into()],
            ),
            Self::LeakAndStay(name) => shell(
                r#"printenv "$1"; printenv "$1" >&2; echo ready; exec sleep 1000"#,
                vec![name.as_str().into()],
            ),
            Self::RecordArguments(arguments) => shell(
                r#"printf '%s\0' "$@" > "$MOORLINE_OUTPUT_DIR/arguments""#,
                arguments.clone(),
            ),
            Self::WriteOutputs(files) => shell(
                r#"cd "$MOORLINE_OUTPUT_DIR" || exit 1
                while [ $# -gt 0 ]; do
                    mkdir -p "$(dirname "$1")"; printf '%s' "$2" > "$1"; shift 2
                done"#,
                files
                    .iter()
                    .flat_map(|(path, text)| [path.as_str().into(), text.as_str().into()])
                    .collect(),
            ),
            Self::CopyInput => shell(
                r#"set -e; cat "$MOORLINE_INPUT" > "$MOORLINE_OUTPUT_DIR/document"
                file=$(sed -n 's/.*"path": *"\([^"]*\)".*/\1/p' "$MOORLINE_INPUT")
                cat "$file" > "$MOORLINE_OUTPUT_DIR/copy""#,
                none(),
            ),
            Self::RecordStart(file) => shell(
                r#"for file; do echo start >> "$file"; done
                echo start >> "$MOORLINE_OUTPUT_DIR/starts"; echo started"#,
                file.iter().map(path).collect(),
            ),
            Self::Stay => shell("echo ready; exec sleep 1000", none()),
            Self::StayUntilAsked => shell(
                "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 1000 & wait $!; done",
                none(),
            ),
            Self::StayStubborn(fifo) => shell(
                &format!("{DESCENDANT} >/dev/null 2>&1 </dev/null\necho ready; {SLEEP}"),
                vec![path(fifo)],
            ),
            Self::LeaveDescendant(fifo) => shell(DESCENDANT, vec![path(fifo)]),
        }
    }
}

/// Leaves a process behind that no polite signal ends and whose parent is gone. It holds the FIFO open,
/// which is how the suite sees that it lives.
const DESCENDANT: &str = r#"trap '' TERM HUP INT; exec 3> "$1"
    (setsid sh -c 'while :; do sleep 1000; done' &)"#;

const SLEEP: &str = "while :; do sleep 1000; done";

fn shell(script: &str, arguments: Vec<Arg>) -> Vec<Arg> {
    let mut argv: Vec<Arg> = ["/bin/sh", "-c", script, "sh"].map(Arg::from).into();
    argv.extend(arguments);
    argv
}
