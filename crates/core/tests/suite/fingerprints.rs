//! Fingerprints are the same in every process: no hash seed, address, order of arrival or time is in them.

use std::collections::HashMap;

use moorline_core::content_id::{ContentId, TreeEntry, TreeNode};

/// What the child prints before its fingerprint.
const MARK: &str = "fingerprint of this process: ";

/// Both kinds of fingerprint, over maps whose order of iteration differs from process to process.
fn fingerprint() -> String {
    let document: HashMap<String, HashMap<String, u32>> = (0..50)
        .map(|n| {
            (
                format!("key {n}"),
                HashMap::from([("é".to_owned(), n), ("z".to_owned(), 1)]),
            )
        })
        .collect();
    let tree: HashMap<String, TreeNode> = (0..50_u8)
        .map(|n| {
            let content = ContentId::of_bytes(&[n]);
            let node = TreeNode::File {
                executable: n % 2 == 0,
                content,
            };
            (format!("d{}/f{n}", n % 7), node)
        })
        .collect();
    let tree = tree
        .into_iter()
        .map(|(path, node)| TreeEntry { path, node });
    format!(
        "{} {}",
        ContentId::of_json(&document).unwrap(),
        ContentId::of_tree(tree).unwrap()
    )
}

/// Prints this process's fingerprint for the test below, which runs it in another process.
#[test]
fn a_process_has_one_fingerprint() {
    let fingerprint = fingerprint();
    println!("{MARK}{fingerprint}");
    assert_eq!(fingerprint, self::fingerprint());
}

/// L12: fingerprints are equal in two processes.
#[test]
fn two_processes_have_the_same_fingerprint() {
    let this_binary = std::env::current_exe().unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "the test is about a second process"
    )]
    let output = std::process::Command::new(this_binary)
        .args([
            "--exact",
            "fingerprints::a_process_has_one_fingerprint",
            "--nocapture",
        ])
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let theirs = stdout
        .lines()
        .find_map(|line| line.split_once(MARK))
        .map(|(_, text)| text);
    assert_eq!(theirs, Some(&*fingerprint()), "{stdout}");
}
