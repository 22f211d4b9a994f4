//! What is kept, exported and shown is what was approved.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use moorline_testkit::moorline::Moorline;
use serde_json::{Value, json};

use super::super::support::json_of;
use super::{Job, home, promote, text};

/// D-ART-2: whatever is changed in what is kept is found, and is neither promoted nor exported.
#[test]
fn tampering_with_what_is_kept_is_found() {
    let moorline = home();
    let job = Job::new(&moorline, "job");
    let (id, _) = job.approved(&moorline);
    let shown = json_of(&moorline, &["artifact", "show", &id]);
    let kept = PathBuf::from(text(&shown["kept_in"]));
    let verify = ["artifact", "verify", &id, "--json"];
    let holds = || moorline.run(verify).unwrap().code;
    assert_eq!(holds(), Some(0));
    for name in ["main.py", "job_spec.json"] {
        let file = kept.join(name);
        let original = fs::read(&file).unwrap();
        let mut changed = original.clone();
        let last = changed.len() - 2;
        changed[last] ^= 1;
        rewrite(&file, &changed);
        assert_eq!(holds(), Some(65), "{name}");
        let promote = ["artifact", "promote", &id, "--reason", "go", "--lane"];
        for lane in ["dev", "prod"] {
            let promote = [&promote[..], &[lane]].concat();
            let refusal = moorline.run(&promote).unwrap();
            assert_ne!(refusal.code, Some(0), "{refusal}");
        }
        let out = moorline.root().join("out");
        let export = ["artifact", "export", &id, "--out", out.to_str().unwrap()];
        assert_ne!(moorline.run(export).unwrap().code, Some(0));
        assert!(!out.exists());
        rewrite(&file, &original);
    }
    let added = kept.join("added.txt");
    fs::write(&added, "x").unwrap();
    assert_eq!(holds(), Some(65));
    fs::remove_file(&added).unwrap();
    fs::set_permissions(kept.join("main.py"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(holds(), Some(65));
}

/// Writes a file that is kept read-only.
fn rewrite(file: &Path, bytes: &[u8]) {
    let mode = fs::metadata(file).unwrap().permissions();
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(file, bytes).unwrap();
    fs::set_permissions(file, mode).unwrap();
}

/// An export verifies elsewhere with a key that is known there, and a changed byte anywhere in it is found.
#[test]
fn tampering_with_an_export_is_found_also_on_another_machine() {
    let moorline = home();
    let job = Job::new(&moorline, "job");
    let (id, _) = job.approved(&moorline);
    promote(&moorline, &id);
    let out = moorline.root().join("exported");
    let export = |out: &Path| {
        let out = out.to_str().unwrap();
        json_of(&moorline, &["artifact", "export", &id, "--out", out])
    };
    let written = export(&out);
    let twice = export(&moorline.root().join("twice"));
    assert_eq!(
        written["export"], twice["export"],
        "exports are deterministic"
    );

    // Another machine knows nobody's key until it is told.
    let elsewhere = Moorline::new().unwrap();
    let dir = out.to_str().unwrap();
    let unknown = elsewhere
        .run(["artifact", "verify", dir, "--json"])
        .unwrap();
    assert_eq!(unknown.code, Some(65), "{unknown}");
    let records = out.join("approval.json");
    let document: Value = serde_json::from_slice(&fs::read(&records).unwrap()).unwrap();
    let trust = format!("human:ada={}", text(&document["keys"][0]["public_key"]));
    let verify = ["artifact", "verify", dir, "--trust", &trust, "--json"];
    let verified = elsewhere.run(verify).unwrap();
    assert_eq!(verified.code, Some(0), "{verified}");
    let verified = verified.json().unwrap();
    assert_eq!(
        (&verified["intact"], &verified["approved"]),
        (&json!(true), &json!(true))
    );

    for file in [
        records.clone(),
        out.join("content/main.py"),
        out.join("content/job_spec.json"),
    ] {
        let original = fs::read(&file).unwrap();
        // Spread over the file; what is between is of the same kind.
        let step = (original.len() / 12).max(1);
        for at in (0..original.len()).step_by(step) {
            let mut changed = original.clone();
            changed[at] ^= 1;
            fs::write(&file, &changed).unwrap();
            let found = elsewhere.run(verify).unwrap();
            assert_eq!(
                found.code,
                Some(65),
                "{} byte {at}: {found}",
                file.display()
            );
        }
        fs::write(&file, &original).unwrap();
    }
    // Records that were sealed anew still need the signer's key.
    let mut forged = document;
    forged["artifact"]["decisions"][0]["reason"] = json!("forged");
    fs::write(&records, forged.to_string()).unwrap();
    assert_eq!(elsewhere.run(verify).unwrap().code, Some(65));
}

/// D-ART-2: the tree is a projection: deleted, it comes back as it was.
#[test]
fn the_tree_for_people_is_rebuilt_from_the_store() {
    let moorline = home();
    let job = Job::new(&moorline, "job");
    let (first, _) = job.approved(&moorline);
    promote(&moorline, &first);
    job.version(2);
    let (second, _) = job.approved(&moorline);
    job.version(3);
    let third = text(&job.submit(&moorline)["artifact"]["id"]);
    let tree = moorline.state_dir().join("tree");
    let entry = |place: &str, id: &str| tree.join(place).join("report").join(id);
    for (place, id) in [
        ("archive", &first),
        ("approved", &second),
        ("pending", &third),
    ] {
        let entry = entry(place, id);
        let record: Value =
            serde_json::from_slice(&fs::read(entry.join("artifact.json")).unwrap()).unwrap();
        assert_eq!(record["id"], **id);
        assert!(entry.join("content/main.py").is_file(), "{place}");
    }
    let live = fs::read(tree.join("approved/report/live.json")).unwrap();
    let live: Value = serde_json::from_slice(&live).unwrap();
    assert_eq!(live, json!({"prod": first}));

    let before = snapshot(&tree);
    let unchanged = json_of(&moorline, &["artifact", "project"]);
    assert_eq!(
        (&unchanged["shown"], &unchanged["changed"]),
        (&json!(3), &json!(0))
    );
    fs::remove_dir_all(&tree).unwrap();
    json_of(&moorline, &["artifact", "project"]);
    assert_eq!(snapshot(&tree), before);
    // What does not belong there goes.
    fs::create_dir_all(tree.join("approved/other/x")).unwrap();
    fs::rename(entry("pending", &third), entry("approved", &third)).unwrap();
    json_of(&moorline, &["artifact", "project"]);
    assert_eq!(snapshot(&tree), before);
}

/// Every path below a directory with what it holds; links with their targets.
fn snapshot(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(dir).unwrap().to_owned();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            if kind.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                found.push((name, target.display().to_string()));
            } else if kind.is_dir() {
                found.push((name, "directory".to_owned()));
                left.push(path);
            } else {
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
