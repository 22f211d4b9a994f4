//! The page about the sandbox says what the code does.

use moorline_core::attempt::Protection;
use serde_json::json;

const PAGE: &str = include_str!("../../../../docs/sandbox.md");

/// The table of the page has one row for each protection, by the name that a summary uses.
#[test]
fn the_page_has_every_protection_and_no_other() {
    let section = PAGE
        .split("## What is guaranteed")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    let rows = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let named: Vec<&str> = rows.collect();
    let all = all_protections();
    let names: Vec<String> = all
        .iter()
        .map(|p| json!(p).as_str().unwrap().to_owned())
        .collect();
    assert_eq!(named, names);
}

/// Every variant, in the order of the page; the match makes the compiler ask for new ones.
fn all_protections() -> Vec<Protection> {
    use Protection as P;

    let all = vec![
        P::Filesystem,
        P::Processes,
        P::Network,
        P::Ipc,
        P::Syscalls,
        P::NoNewPrivileges,
        P::Memory,
        P::Pids,
        P::Cpu,
        P::Disk,
    ];
    for protection in &all {
        match protection {
            P::Filesystem
            | P::Processes
            | P::Network
            | P::Ipc
            | P::Syscalls
            | P::NoNewPrivileges
            | P::Memory
            | P::Pids
            | P::Cpu
            | P::Disk => {}
        }
    }
    all
}
