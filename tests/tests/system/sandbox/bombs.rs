//! Bombs: what takes too much is stopped, the failure names the limit, and the machine goes on.

use std::path::Path;

use serde_json::{Value, json};

use super::range::Range;
use super::trial::{Job, Ran, Trial, User, directly, expect};

const MIB: u64 = 1 << 20;
const MEMORY_MB: u64 = 64;
const DISK_MB: u64 = 8;
const PIDS: u64 = 24;

const PIDS_CODE: &str = "failed ERR_LIMIT_PIDS";
const MEMORY_CODE: &str = "failed ERR_LIMIT_MEMORY";
const DISK_CODE: &str = "failed ERR_LIMIT_DISK";

/// What a bomb wants: several times what it may have.
fn amounts() -> Value {
    json!({
        "processes": 4 * PIDS, "bytes": 3 * MEMORY_MB * MIB, "disk_bytes": 12 * DISK_MB * MIB,
        "files": 60_000, "log_bytes": 20 * MIB,
    })
}

/// Runs a bomb without limits, where it has to get all it wants, and inside, where it must not. The first is
/// done by the own user alone.
fn stopped(bomb: &str, resources: &Value, ending: &str, user: User) -> (Trial, Ran) {
    let job = Job::new(&["bombs.py", bomb], amounts()).step(json!({"resources": resources}));
    if user == User::Own {
        let control = directly(&[], &job);
        assert_eq!(
            expect("without limits", &control, |_| true),
            1,
            "`{bomb}` told nothing"
        );
    }
    let trial = Trial::new(user);
    let ran = trial.run(&job);
    expect("within limits", &ran.told, |_| false);
    assert_eq!(ran.ending(), ending, "`{bomb}` as {user:?}: {ran}");
    (trial, ran)
}

fn processes_are_stopped(bomb: &str) {
    for user in [User::Own, User::Nobody] {
        stopped(bomb, &json!({"pids": PIDS}), PIDS_CODE, user);
    }
}

#[test]
fn too_many_processes_are_stopped_and_named() {
    processes_are_stopped("processes");
}

#[test]
fn too_many_threads_are_stopped_and_named() {
    processes_are_stopped("threads");
}

#[test]
fn a_fork_bomb_is_stopped_and_named() {
    processes_are_stopped("fork-storm");
}

/// A limit on the memory of the whole tree takes a memory cgroup, which only root can make here; without
/// one the lane decides, and that is tested where lanes are.
fn memory_is_stopped(bomb: &str) {
    stopped(
        bomb,
        &json!({"memory_mb": MEMORY_MB}),
        MEMORY_CODE,
        User::Own,
    );
}

#[test]
fn a_growing_heap_is_stopped_and_named() {
    memory_is_stopped("heap");
    memory_is_stopped("private-mapping");
}

#[test]
fn memory_that_no_process_counts_as_its_own_is_stopped_and_named() {
    memory_is_stopped("shared-mapping");
    memory_is_stopped("memory-file");
    memory_is_stopped("system-v-shared-memory");
}

#[test]
fn memory_spread_over_processes_is_stopped_and_named() {
    memory_is_stopped("many-processes-with-memory");
}

#[test]
fn buffers_of_the_kernel_are_stopped_and_named() {
    memory_is_stopped("pipes-and-sockets");
}

#[test]
fn shared_memory_is_stopped_and_named() {
    memory_is_stopped("shared-memory-directory");
    // Without a limit of memory, the size of its file system still is one.
    stopped(
        "shared-memory-directory",
        &json!({"disk_mb": DISK_MB}),
        DISK_CODE,
        User::Nobody,
    );
}

/// Fills the disk as both users. Afterwards no more is left on it than the limit and what was written while
/// nobody looked.
fn disk_is_stopped(bomb: &str) {
    for user in [User::Own, User::Nobody] {
        let (trial, ran) = stopped(bomb, &json!({"disk_mb": DISK_MB}), DISK_CODE, user);
        let left = size_of(&trial.moorline.state_dir());
        assert!(
            left < 6 * DISK_MB * MIB,
            "`{bomb}` left {left} bytes: {ran}"
        );
    }
}

#[test]
fn one_large_file_is_stopped_and_named() {
    disk_is_stopped("one-file");
    disk_is_stopped("reserved-file");
}

#[test]
fn many_small_files_are_stopped_and_named() {
    disk_is_stopped("many-files");
}

#[test]
fn empty_files_without_number_are_stopped_and_named() {
    disk_is_stopped("empty-files");
}

#[test]
fn files_without_a_name_are_stopped_and_named() {
    disk_is_stopped("files-without-a-name");
}

#[test]
fn files_behind_a_closed_door_are_stopped_and_named() {
    disk_is_stopped("files-behind-a-closed-door");
}

#[test]
fn endless_directories_are_stopped_and_named() {
    disk_is_stopped("directories-in-directories");
}

#[test]
fn a_full_temporary_directory_is_stopped_and_named() {
    disk_is_stopped("the-temporary-directory");
}

/// A log never ends a job: what is over is read and dropped, and told.
#[test]
fn a_flood_of_log_is_dropped_and_told() {
    let job = Job::new(&["bombs.py", "log-flood"], amounts());
    let trial = Trial::new(User::Own);
    let ran = trial.run(&job);
    assert_eq!(ran.ending(), "success", "{}", ran.ending());
    let run = ran.summary["run_id"].as_str().unwrap();
    let shown = trial.run_command(["runs", "show", run]).stdout;
    assert!(
        shown.contains("limit reached: 16777216 bytes of log"),
        "{shown}"
    );
    let left = size_of(&trial.moorline.state_dir());
    assert!(left < 24 * MIB, "the log took {left} bytes");
}

/// After a bomb the range still stands and the next run works.
#[test]
fn after_a_bomb_the_machine_goes_on() {
    let range = Range::new(User::Own);
    let resources = json!({"pids": PIDS, "memory_mb": MEMORY_MB, "disk_mb": DISK_MB});
    let (trial, _) = stopped("fork-storm", &resources, PIDS_CODE, User::Own);
    range.assert_untouched();
    let next = trial.run(&Job::new(&["leave.py", "file"], json!({})));
    assert_eq!(next.ending(), "success", "{next}");
}

/// Bytes on the disk of everything below a directory.
fn size_of(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;

    let entries = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let size = |path: std::path::PathBuf| {
        let meta = std::fs::symlink_metadata(&path).unwrap();
        let below = if meta.is_dir() { size_of(&path) } else { 0 };
        meta.blocks() * 512 + below
    };
    entries.map(size).sum()
}
