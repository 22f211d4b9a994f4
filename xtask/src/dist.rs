//! `cargo xtask dist`: the programs as they are shipped, below `target/dist`.
//!
//! `moorline` and `moorlined` are linked statically against the C library of the build machine
//! (`+crt-static` on the gnu target), so that they run on any Linux of the architecture. What is
//! written is checked: a program that asks for a dynamic loader fails the command.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::output::{say, step};
use crate::shell::Shell;
use crate::workspace::Workspace;

/// What is shipped: the package that each program is in.
const PROGRAMS: [(&str, &str); 2] = [("moorline", "moorline"), ("moorline-server", "moorlined")];

/// The only target that the programs are shipped for.
const TARGET: &str = "x86_64-unknown-linux-gnu";

pub(crate) fn run(workspace: &Workspace) -> Result {
    step("build");
    let mut cargo = Shell::cargo(workspace.root())
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .args(["build", "--release", "--locked", "--target", TARGET]);
    for (package, program) in PROGRAMS {
        cargo = cargo.args(["-p", package, "--bin", program]);
    }
    cargo.run()?;
    let dist = workspace.target().join("dist");
    let failed = |error: std::io::Error| Error::Refused(format!("{}: {error}", dist.display()));
    fs::create_dir_all(&dist).map_err(failed)?;
    step("dist");
    for (_, program) in PROGRAMS {
        let built = workspace
            .target()
            .join(TARGET)
            .join("release")
            .join(program);
        let bytes = fs::read(&built).map_err(failed)?;
        if asks_for_a_loader(&bytes) {
            let message = format!("{program} is not static: it asks for a dynamic loader");
            return Err(Error::Refused(message));
        }
        let to = dist.join(program);
        fs::copy(&built, &to).map_err(failed)?;
        // It starts, on its own: no library is looked for.
        Shell::new(&to, Path::new("/")).args(["--version"]).run()?;
        let mut digest = String::new();
        for byte in Sha256::digest(&bytes) {
            let _never_fails = write!(digest, "{byte:02x}");
        }
        say!("{digest}  {} ({} bytes)", to.display(), bytes.len());
    }
    Ok(())
}

/// Whether an ELF program of 64 bits has a segment that names a dynamic loader (`PT_INTERP`). Anything that
/// can not be read as one counts as if it had.
fn asks_for_a_loader(elf: &[u8]) -> bool {
    /// Type of the segment that names the loader.
    const INTERP: usize = 3;
    let number = |at: usize, length: usize| {
        let bytes = elf.get(at..at + length)?;
        let value = bytes
            .iter()
            .rev()
            .fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
        usize::try_from(value).ok()
    };
    let headers = || Some((number(32, 8)?, number(54, 2)?, number(56, 2)?));
    let Some((start, size, count)) = headers().filter(|_| elf.starts_with(b"\x7fELF\x02\x01"))
    else {
        return true;
    };
    (0..count).any(|i| number(start + i * size, 4).is_none_or(|kind| kind == INTERP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_linked_dynamically_is_told_apart() {
        let shell = fs::read("/bin/sh").unwrap();
        assert!(asks_for_a_loader(&shell));
        assert!(asks_for_a_loader(b"#!/bin/sh\n"));
    }
}
