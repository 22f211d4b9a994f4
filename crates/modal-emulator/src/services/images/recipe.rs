//! Lines of Dockerfiles that this machine stands in for: the recipes of Modal's own images, and package
//! managers asked for what is there already.
//!
//! Everything else runs as it is written.

use super::dockerfile::Command;

/// The requirements of Modal's client, which older builder versions install into every image.
pub(super) const CLIENT_REQUIREMENTS: &str = "/modal_requirements.txt";

/// Where `uv` is copied from by `Image.uv_pip_install`.
pub(super) const UV_IMAGE: &str = "ghcr.io/astral-sh/uv";

/// Stands in for `uv`: the machine's own where it has one, else pip.
pub(super) const UV: &str = r#"#!/bin/sh
if command -v uv >/dev/null 2>&1; then exec uv "$@"; fi
if [ "$1 $2" != "pip install" ]; then echo "this machine has no uv: $*" >&2; exit 127; fi
shift 2
python=python count=$#
while [ "$count" -gt 0 ]; do
  word=$1; shift; count=$((count - 1))
  case $word in
    --python) python=$1; shift; count=$((count - 1)) ;;
    --prerelease) shift; count=$((count - 1)); set -- "$@" --pre ;;
    --requirements) set -- "$@" --requirement "$1"; shift; count=$((count - 1)) ;;
    --compile-bytecode) set -- "$@" --compile ;;
    --system | --no-cache) ;;
    *) set -- "$@" "$word" ;;
  esac
done
exec "$python" -m pip install "$@"
"#;

/// What is done about a RUN line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Run {
    /// It runs.
    AsWritten,
    /// It does not run, because of this.
    Satisfied(&'static str),
    /// `apt-get update`, alone: it runs when a later line needs it.
    PutOff,
    /// `apt-get install` of these packages: it runs unless the machine has all of them.
    AptInstall(Vec<String>),
}

/// Decides about a RUN line. `is_modals`: the layer is one of Modal's own images. `installs_client`: it
/// also installs Modal's client, as older builder versions do.
pub(super) fn run(command: &Command, is_modals: bool, installs_client: bool) -> Run {
    if is_modals {
        return Run::Satisfied("part of an image of Modal's own: this machine stands in for it");
    }
    let Command::Shell(text) = command else {
        return Run::AsWritten;
    };
    if installs_client && is_client_setup(text) {
        return Run::Satisfied("set-up for Python or Modal's client, which are this machine's");
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["apt-get" | "apt", "update"] => Run::PutOff,
        ["apt-get" | "apt", "install", rest @ ..] => match packages(rest) {
            Some(packages) => Run::AptInstall(packages),
            None => Run::AsWritten,
        },
        _ => Run::AsWritten,
    }
}

fn is_client_setup(text: &str) -> bool {
    text.contains(CLIENT_REQUIREMENTS)
        || text.starts_with("python -m pip install --upgrade pip")
        || text == "ln -s /usr/local/bin/python3 /usr/local/bin/python"
}

/// The packages of an installation without versions or other options; `None` when it is not so simple.
fn packages(words: &[&str]) -> Option<Vec<String>> {
    let simple = |word: &&str| {
        word.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.' | b':'))
    };
    let options = ["-y", "--yes", "-q", "-qq", "--no-install-recommends"];
    let packages: Vec<&str> = words
        .iter()
        .copied()
        .filter(|word| !options.contains(word))
        .collect();
    let is_simple = packages
        .iter()
        .all(|word| !word.starts_with('-') && simple(word));
    (is_simple && !packages.is_empty()).then(|| packages.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str) -> Command {
        Command::Shell(text.to_owned())
    }

    #[test]
    fn only_what_the_machine_stands_in_for_is_left_out() {
        let apt = |packages: &[&str]| {
            Run::AptInstall(
                packages
                    .iter()
                    .map(|package| (*package).to_owned())
                    .collect(),
            )
        };
        let cases = [
            ("apt-get update", Run::PutOff),
            ("apt-get install -y gcc g++", apt(&["gcc", "g++"])),
            ("apt-get install -y gcc=1.2", Run::AsWritten),
            ("apt-get install -y gcc && rm -r /x", Run::AsWritten),
            ("apt-get update && apt-get install -y gcc", Run::AsWritten),
            ("pip install numpy", Run::AsWritten),
            (
                "python -m pip install --upgrade pip wheel uv",
                Run::AsWritten,
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(run(&shell(text), false, false), expected, "{text}");
        }
        assert!(matches!(
            run(&shell("pip install numpy"), true, false),
            Run::Satisfied(_)
        ));
        let client = "uv pip install --system -r /modal_requirements.txt";
        assert!(matches!(
            run(&shell(client), false, true),
            Run::Satisfied(_)
        ));
    }
}
