//! Hashes, digests and paths, as `job validate` and `run` treat them.

use std::fs;
use std::path::Path;

use moorline_core::content_id::ContentId;
use moorline_testkit::moorline::Moorline;
use moorline_tests::{Job, run};
use serde_json::{Value, json};

fn validate(moorline: &Moorline, job: &Path, more: &[&str]) -> Value {
    let mut arguments = vec!["job", "validate", job.to_str().unwrap(), "--json"];
    arguments.extend(more);
    moorline.run(&arguments).unwrap().json().unwrap()
}

/// L10 and L12: a spec's hash is of its canonical form, so order, spaces and the way a number is written
/// do not matter, and two processes find the same.
#[test]
fn a_spec_has_one_hash_however_it_is_written() {
    let moorline = Moorline::new().unwrap();
    let spec = r#"{"job_id": "h", "params": {"é": 1.50, "a": 1e2, "B": "x"}, "steps": [{"name": "s", "argv": ["true"]}]}"#;
    let same = "{\"steps\":[{\"argv\":[\"true\"],\"name\":\"s\"}],\n\"params\":{\"B\":\"\\u0078\",\"a\":100,\"\\u00e9\":1.5},\"job_id\":\"h\"}";
    let other = spec.replace("1.50", "1.51");
    let hash = |text: &str| {
        let file = moorline.work_dir().join("spec.json");
        fs::write(&file, text).unwrap();
        validate(&moorline, &file, &[])["spec_hash"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(hash(spec), hash(same));
    assert_ne!(hash(spec), hash(&other));
}

/// L11: the hash of an output is BLAKE3 of its bytes, also for known bytes.
#[test]
fn output_hashes_are_blake3() {
    let moorline = Moorline::new().unwrap();
    let step = json!({"outputs": [{"path": "abc"}]});
    let job = Job::shell("printf abc > $MOORLINE_OUTPUT_DIR/abc", step);
    let known = "b3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";
    assert_eq!(ContentId::of_bytes(b"abc").to_string(), known);
    for isolation in ["off", "best-effort"] {
        let (output, summary) = run(&moorline, job.path(), &["--isolation", isolation]);
        assert_eq!(
            summary["outputs"][0]["hash"], known,
            "{isolation}\n{output}"
        );
    }
}

/// L12: the job directory has one hash, whatever the order and times of its files; a changed byte or
/// executable bit is another directory.
#[test]
fn a_job_directory_is_named_by_its_content() {
    let moorline = Moorline::new().unwrap();
    let job = |files: [(&str, &str); 2]| {
        let [(a, one), (b, two)] = files;
        Job::shell("true", json!({})).file(a, one).file(b, two)
    };
    let hash = |job: &Job| validate(&moorline, job.path(), &[])["artifact_hash"].clone();
    let first = hash(&job([("a", "1"), ("b", "2")]));
    assert_eq!(hash(&job([("b", "2"), ("a", "1")])), first);
    assert_ne!(hash(&job([("a", "1"), ("b", "3")])), first);
}

/// L05: a production image is pinned by 64 lower-case hex digits and nothing else.
#[test]
fn only_a_full_digest_pins_an_image() {
    let moorline = Moorline::new().unwrap();
    let full = "0123456789abcdef".repeat(4);
    for (digest, valid) in [
        (format!("sha256:{full}"), true),
        ("sha256:0123456789".to_owned(), false),
        (format!("sha256:{}", full.to_uppercase()), false),
        ("sha256:pending".to_owned(), false),
        (format!("sha512:{full}"), false),
    ] {
        let image = format!("registry.example.com/tool@{digest}");
        let job = Job::shell("true", json!({"egress": "none", "image": image}));
        let found = validate(&moorline, job.path(), &["--lane", "prod"]);
        assert_eq!(found["valid"] == true, valid, "{image}: {found}");
    }
}

/// L07 and L08: output paths that leave their directory, or meet another one, are refused.
#[test]
fn output_paths_stay_inside_and_apart() {
    let moorline = Moorline::new().unwrap();
    for paths in [
        vec!["../x"],
        vec!["/etc/x"],
        vec!["a/../../x"],
        vec!["a\0b"],
        vec!["a", "./a"],
    ] {
        let outputs: Vec<Value> = paths.iter().map(|path| json!({"path": path})).collect();
        let job = Job::shell("true", json!({"outputs": outputs}));
        let found = validate(&moorline, job.path(), &[]);
        assert_eq!(found["error"]["code"], "ERR_SPEC", "{paths:?}: {found}");
    }
}
