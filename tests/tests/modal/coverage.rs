//! The table of what is covered, held against the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::Emu;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The RPCs on which the rows of Moorline stand.
fn claimed() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("docs/data/modal-coverage.toml")).unwrap();
    let data: toml::Table = text.parse().unwrap();
    let rows = data["row"].as_array().unwrap();
    rows.iter()
        .flat_map(|row| row["rpcs"].as_array().unwrap())
        .map(|rpc| rpc.as_str().unwrap().to_owned())
        .collect()
}

/// The words before a bracket in the client's sources: among them every RPC that it calls, since each is
/// declared as `NAME = Method(Request) -> Response`.
fn called_by_the_client() -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut directories = vec![root().join("crates/modal-client/src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let declared = text.lines().filter_map(|line| {
                let (_, rest) = line.trim().split_once(" = ")?;
                Some(rest.split_once('(')?.0.to_owned())
            });
            words.extend(declared);
        }
    }
    words
}

#[test]
fn every_rpc_that_the_table_names_is_called_by_the_client_and_answered_by_the_emulator() {
    let claimed = claimed();
    let called = called_by_the_client();
    let missing: Vec<_> = claimed.difference(&called).collect();
    assert!(missing.is_empty(), "not called by the client: {missing:?}");

    let coverage = Emu::start().emulator().coverage();
    let answered = coverage
        .implemented
        .into_iter()
        .map(|count| count.rpc)
        .collect();
    let missing: Vec<_> = claimed.difference(&answered).collect();
    assert!(
        missing.is_empty(),
        "not answered by the emulator: {missing:?}"
    );
}

/// A name in the emulator's table that the wire does not have would never be called.
#[test]
fn every_rpc_of_the_emulator_is_one_of_the_wire() {
    let files = [
        "crates/modal-proto/proto/modal/client/service.proto",
        "crates/modal-proto/proto/modal/task_command_router/service.proto",
    ];
    let text = files
        .map(|file| fs::read_to_string(root().join(file)).unwrap())
        .join("\n");
    let wire: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("rpc ")?.split('(').next())
        .collect();
    let coverage = Emu::start().emulator().coverage();
    let unknown: Vec<String> = coverage
        .implemented
        .into_iter()
        .map(|count| count.rpc)
        .filter(|rpc| !wire.contains(rpc.rsplit('/').next().unwrap()))
        .collect();
    assert!(unknown.is_empty(), "not in the files: {unknown:?}");
}
