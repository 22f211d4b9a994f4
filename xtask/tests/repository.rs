//! Rules for the repository as a whole, which no compiler and no lint checks.
//!
//! Each rule is a function from text to findings, with one test that shows it finds something and
//! one that holds it against this repository.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// More than this and a file is several.
const LONGEST_FILE: usize = 800;

/// A line that sleeps in a test says after this why that is not a wait (L77).
const SLEEP_REASON: &str = "L77:";

/// With this begins the reason of an ignored function that is no test.
const HELPER: &str = "a helper of the other tests";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every file of the repository with one of these endings, and its text. Build output and hidden
/// directories are left out.
fn files(endings: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut pending = vec![root().to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !path.is_symlink() {
                if name != "target" && !name.starts_with('.') {
                    pending.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    assert!(
        !found.is_empty(),
        "found no file with an ending of {endings:?}"
    );
    found
}

/// The lines of a file that are compiled for tests only, counted from 1.
fn test_lines<'a>(path: &Path, text: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let whole_file = path.components().any(|part| {
        let part = part.as_os_str();
        part == "tests" || part == "tests.rs" || part == "testkit"
    });
    let mut inside = whole_file;
    text.lines().enumerate().filter_map(move |(index, line)| {
        inside |= line.trim() == "#[cfg(test)]";
        inside.then_some((index + 1, line))
    })
}

/// Fixed sleeps in tests that do not say why they are needed.
///
/// On a paused clock a sleep takes no time, and is how a test moves that clock.
fn sleeps(path: &Path, text: &str) -> Vec<String> {
    let mut reason_above = false;
    let mut clock_is_paused = false;
    let mut findings = Vec::new();
    for (number, line) in test_lines(path, text) {
        if line.contains("#[test]") || line.contains("#[tokio::test") {
            clock_is_paused = line.contains("start_paused = true");
        }
        let code = line.split("//").next().unwrap();
        let says_why = line.contains(SLEEP_REASON);
        // In two parts, or this rule would find itself.
        let calls = |module: &str| code.contains(&format!("{module}{}", "sleep("));
        let sleeps = calls("thread::") || (calls("time::") && !clock_is_paused);
        if sleeps && !says_why && !reason_above {
            findings.push(format!("{}:{number}: {}", path.display(), line.trim()));
        }
        reason_above = says_why;
    }
    findings
}

/// Tests that are switched off. One that is no test, but what other tests start as a process, says so.
fn ignored(path: &Path, text: &str) -> Vec<String> {
    let attribute = concat!("#[", "ignore");
    let helper = format!("{attribute} = \"{HELPER}");
    text.lines()
        .map(str::trim_start)
        .enumerate()
        .filter(|(_, line)| line.starts_with(attribute) && !line.starts_with(&helper))
        .map(|(index, _)| format!("{}:{}", path.display(), index + 1))
        .collect()
}

/// Every package that is built on Linux, with its enabled features.
fn tree() -> Vec<(String, Vec<String>)> {
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo alone knows what it resolves to"
    )]
    let output = Command::new(option_env!("CARGO").unwrap_or("cargo"))
        .args([
            "tree",
            "--workspace",
            "--all-features",
            "--target",
            "x86_64-unknown-linux-gnu",
        ])
        .args(["--prefix", "none", "--format", "{p} features {f}"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.split_once(" features "))
        .map(|(package, features)| {
            let name = package.split(' ').next().unwrap().to_owned();
            (
                name,
                features.split([',', ' ']).map(str::to_owned).collect(),
            )
        })
        .collect()
}

/// The links of a Markdown text to places in the repository, without their fragments.
fn local_links(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines()
        .filter(move |line| {
            let fence = line.trim_start().starts_with("```");
            in_code ^= fence;
            !in_code && !fence
        })
        .flat_map(|line| line.split("](").skip(1))
        .filter_map(|rest| rest.split([')', ' ', '#']).next())
        .filter(|link| !link.is_empty() && !link.contains(':'))
}

#[test]
fn every_link_of_the_documentation_leads_somewhere() {
    let mut broken = Vec::new();
    for (path, text) in files(&[".md"]) {
        let here = root().join(&path);
        for link in local_links(&text) {
            if !here.parent().unwrap().join(link).exists() {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert_eq!(broken, [""; 0], "mend these links");
    let text = "[a](docs/x.md#part), [b](https://x.y/z)\n```\n[c](code)\n```\n[d](#here) [e](../f)";
    assert_eq!(local_links(text).collect::<Vec<_>>(), ["docs/x.md", "../f"]);
}

#[test]
fn no_file_is_several_files() {
    let long: Vec<String> = files(&[".rs", ".py", ".sh", ".sql"])
        .iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert_eq!(long, [""; 0], "split these by what they are about");
}

/// L77
#[test]
fn no_test_sleeps_to_wait_for_something() {
    let findings: Vec<String> = files(&[".rs"])
        .iter()
        .flat_map(|(path, text)| sleeps(path, text))
        .collect();
    assert_eq!(
        findings, [""; 0],
        "wait for the event itself (moorline_testkit::wait), or say why after `{SLEEP_REASON}`"
    );
}

/// L77: the rule finds what it is there to find.
#[test]
fn a_sleep_in_a_test_is_found() {
    let sleep = ["thread::", "sleep(Duration::from_secs(1));"].concat();
    let source = format!(
        "{sleep}\n#[cfg(test)]\nmod tests {{\n{sleep}\n// L77: the clock is the subject\n{sleep}\n\
         {sleep} // L77: because\n// {sleep}\n}}\n"
    );
    let expected = [format!("src/x.rs:4: {sleep}")];
    assert_eq!(sleeps(Path::new("src/x.rs"), &source), expected);
    assert_eq!(sleeps(Path::new("tests/x.rs"), &source).len(), 2);

    let pause = ["time::", "sleep(Duration::from_secs(1)).await;"].concat();
    let real = format!("#[tokio::test]\n{pause}\n");
    let paused = format!("#[tokio::test(start_paused = true)]\n{pause}\n");
    assert_eq!(sleeps(Path::new("tests/x.rs"), &real).len(), 1);
    assert_eq!(sleeps(Path::new("tests/x.rs"), &paused), [""; 0]);
}

/// L76: what is switched off is not counted, so nothing is.
#[test]
fn no_test_is_switched_off() {
    let findings: Vec<String> = files(&[".rs"])
        .iter()
        .flat_map(|(path, text)| ignored(path, text))
        .collect();
    assert_eq!(findings, [""; 0], "mend or remove these");
    let source = ["#[test]\n    #[", "ignore = \"slow\"]\nfn x() {}\n"].concat();
    assert_eq!(ignored(Path::new("x.rs"), &source), ["x.rs:2"]);
    let source = source.replace("slow", HELPER);
    assert_eq!(ignored(Path::new("x.rs"), &source), [""; 0]);
}

/// Content ids need JSON objects in sorted order and numbers as RFC 8785 has them. Features are
/// united over the tree, so one dependency that asks for these would change every hash.
#[test]
fn no_dependency_changes_how_json_is_hashed() {
    let tree = tree();
    let features: Vec<&String> = tree
        .iter()
        .filter(|(name, _)| name == "serde_json")
        .flat_map(|(_, f)| f)
        .collect();
    assert!(
        features.iter().any(|feature| *feature == "std"),
        "serde_json: {features:?}"
    );
    for harmful in ["preserve_order", "arbitrary_precision"] {
        assert!(
            !features.iter().any(|f| *f == harmful),
            "serde_json has the feature {harmful}"
        );
    }
}

/// Two TLS providers in one program panic at the first connection.
#[test]
fn there_is_one_tls_provider() {
    let tree = tree();
    let contains = |wanted: &str| tree.iter().any(|(name, _)| name == wanted);
    for unwanted in ["ring", "openssl-sys", "native-tls"] {
        assert!(!contains(unwanted), "{unwanted} is in the tree");
    }
    assert!(contains("aws-lc-rs"), "the tree has no TLS at all");
}
