//! What kinds of file an artifact may hold.

use super::super::files::{Entry, Files};
use super::{EXTRACTOR, finding};
use crate::denial::Detail;

/// How much of a file is looked at to tell text from binary.
const LOOK: usize = 8 << 10;

/// How compiled programs and archives of them begin, with what they are.
const PROGRAMS: [(&[u8], &str); 9] = [
    (b"\x7fELF", "a compiled program (ELF)"),
    (b"MZ", "a compiled program (PE)"),
    (b"\xfe\xed\xfa\xce", "a compiled program (Mach-O)"),
    (b"\xfe\xed\xfa\xcf", "a compiled program (Mach-O)"),
    (b"\xcf\xfa\xed\xfe", "a compiled program (Mach-O)"),
    (b"\xca\xfe\xba\xbe", "a compiled program (Java or Mach-O)"),
    (b"\0asm", "a compiled program (WebAssembly)"),
    (b"PK\x03\x04", "an archive (ZIP)"),
    (b"\x1f\x8b", "an archive (gzip)"),
];

/// Names of files that hold compiled code, whatever they begin with.
const COMPILED: [&str; 8] = ["pyc", "pyo", "so", "dll", "dylib", "class", "jar", "wasm"];

/// Names of files that hold code to run.
const CODE: [&str; 18] = [
    "py", "ipynb", "js", "mjs", "cjs", "ts", "sh", "bash", "zsh", "rb", "pl", "php", "rs", "go",
    "java", "kt", "lua", "sql",
];

/// Directories whose files are what a source sent: they may be binary, but not programs.
const SAMPLES: [&str; 3] = ["samples", "fixtures", "testdata"];

/// Compiled programs nowhere, and other binary files only among samples (D-ART-1).
pub(super) fn binaries(files: &Files, found: &mut Vec<Detail>) {
    for (path, entry) in files.iter() {
        let Entry::File {
            bytes: Some(bytes), ..
        } = entry
        else {
            continue;
        };
        let program = PROGRAMS
            .iter()
            .find(|(magic, _)| bytes.starts_with(magic))
            // `MZ` is also how a text may begin.
            .filter(|(magic, _)| *magic != b"MZ" || is_binary(bytes))
            .map(|(_, what)| *what)
            .or_else(|| {
                COMPILED
                    .contains(&extension(path))
                    .then_some("compiled code")
            });
        if let Some(what) = program {
            found.push(finding(
                path,
                format!("is {what}, which nobody can review"),
                "submit its source; what is compiled belongs into the image",
            ));
        } else if is_binary(bytes) && !is_sample(path) {
            found.push(finding(
                path,
                "is a binary file, which nobody can review",
                "put samples of a source below `samples/`, and leave out the rest",
            ));
        }
    }
}

fn is_binary(bytes: &[u8]) -> bool {
    bytes.iter().take(LOOK).any(|byte| *byte == 0)
}

fn is_sample(path: &str) -> bool {
    path.split('/')
        .rev()
        .skip(1)
        .any(|segment| SAMPLES.contains(&segment))
}

fn extension(path: &str) -> &str {
    path.rsplit_once('/')
        .map_or(path, |(_, name)| name)
        .rsplit_once('.')
        .map_or("", |(_, extension)| extension)
}

/// An extractor is code with tests of it.
pub(super) fn extractor(files: &Files, found: &mut Vec<Detail>) {
    if files.below(EXTRACTOR).next().is_none() {
        found.push(finding(
            EXTRACTOR,
            "the directory of the extractor is missing",
            "put the code and its tests below `extractor/`",
        ));
    } else if !files.below(EXTRACTOR).any(|(path, _)| is_test(path)) {
        found.push(finding(
            EXTRACTOR,
            "holds no test",
            "add tests, e.g. `extractor/tests/test_main.py`",
        ));
    }
}

/// Whether a file is a test by the names that test runners look for.
fn is_test(path: &str) -> bool {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    let Some((stem, extension)) = name.rsplit_once('.') else {
        return false;
    };
    // `main.test.ts` and `main.spec.ts`.
    let kind = stem.rsplit_once('.').map(|(_, kind)| kind);
    CODE.contains(&extension)
        && (stem.starts_with("test_")
            || stem.ends_with("_test")
            || matches!(kind, Some("test" | "spec")))
}

/// Research ends in documents (`contracts`: step 1 jobs may produce no code and no schedule).
pub(super) fn no_code(files: &Files, found: &mut Vec<Detail>) {
    for (path, entry) in files.iter() {
        let Entry::File {
            executable, bytes, ..
        } = entry
        else {
            continue;
        };
        let script = bytes
            .as_deref()
            .is_some_and(|bytes| bytes.starts_with(b"#!"));
        if *executable || script || CODE.contains(&extension(path)) {
            found.push(finding(
                path,
                "is code, and research holds none",
                "leave it to the `generate_and_test` job that follows",
            ));
        }
    }
}
