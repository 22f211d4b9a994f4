//! `cargo xtask gen`: the files in the repository that are made from the code.
//!
//! They are checked in, so that readers and other tools have them without a build, and a change of
//! them is seen in review. `--check` writes nothing and fails when one is not what the code gives;
//! `cargo xtask ci` runs that.

mod coverage;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::cli::GenArguments;
use crate::error::{Error, Result};
use crate::output::{say, step};
use crate::workspace::Workspace;

/// Something that makes files.
struct Generator {
    /// The directory, from the root, that holds its files.
    directory: &'static str,
    /// Whether the directory holds nothing else: what is left over there is removed.
    alone: bool,
    /// What it makes: file names in that directory, and their text.
    files: fn(&Workspace) -> Result<BTreeMap<PathBuf, String>>,
}

/// All of them. A later part of the product adds its line here.
const GENERATORS: &[Generator] = &[
    Generator {
        directory: "schemas",
        alone: true,
        files: json_schemas,
    },
    Generator {
        directory: "docs",
        alone: false,
        files: coverage::page,
    },
];

pub(crate) fn run(workspace: &Workspace, arguments: GenArguments) -> Result {
    step(if arguments.check {
        "generated files, checked"
    } else {
        "generated files"
    });
    let mut differing = Vec::new();
    for generator in GENERATORS {
        let directory = workspace.root().join(generator.directory);
        let wanted = (generator.files)(workspace)?;
        say!("{}/: {} files", generator.directory, wanted.len());
        for change in changes(&directory, &wanted, generator.alone)? {
            differing.push(format!(
                "{}/{}",
                generator.directory,
                change.name().display()
            ));
            if !arguments.check {
                change.apply(&directory)?;
            }
        }
    }
    for file in &differing {
        say!(
            "{} {file}",
            if arguments.check {
                "not current:"
            } else {
                "written:"
            }
        );
    }
    if arguments.check && !differing.is_empty() {
        let refusal =
            "generated files are not current; run `cargo xtask gen` and commit the result";
        return Err(Error::Refused(refusal.to_owned()));
    }
    if arguments.check {
        crate::wire::check(workspace)?;
    }
    Ok(())
}

/// The published JSON Schemas, 2020-12, and the OpenAPI document of the server.
fn json_schemas(_: &Workspace) -> Result<BTreeMap<PathBuf, String>> {
    let openapi = ("openapi", moorline_server::openapi::document());
    moorline_core::schema::all()
        .into_iter()
        .chain([openapi])
        .map(|(name, schema)| {
            let json = |source| Error::Json {
                what: format!("the schema {name}"),
                source,
            };
            let text = serde_json::to_string_pretty(&schema).map_err(json)?;
            Ok((PathBuf::from(format!("{name}.json")), format!("{text}\n")))
        })
        .collect()
}

/// What has to happen to one file.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Write(PathBuf, String),
    Remove(PathBuf),
}

impl Change {
    fn name(&self) -> &Path {
        match self {
            Self::Write(name, _) | Self::Remove(name) => name,
        }
    }

    fn apply(&self, directory: &Path) -> Result {
        let path = directory.join(self.name());
        let done = match self {
            Self::Write(_, text) => {
                fs::create_dir_all(directory).and_then(|()| fs::write(&path, text))
            }
            Self::Remove(_) => fs::remove_file(&path),
        };
        done.map_err(Error::io(format!("bring {} up to date", path.display())))
    }
}

/// What makes `directory` hold the files that are wanted, and with `alone` nothing else.
fn changes(
    directory: &Path,
    wanted: &BTreeMap<PathBuf, String>,
    alone: bool,
) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for (name, text) in wanted {
        match fs::read_to_string(directory.join(name)) {
            Ok(current) if current == *text => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io(format!(
                    "read {}",
                    directory.join(name).display()
                ))(error));
            }
            _ => changes.push(Change::Write(name.clone(), text.clone())),
        }
    }
    if !alone {
        return Ok(changes);
    }
    let there = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(changes),
        there => there.map_err(Error::io(format!("list {}", directory.display())))?,
    };
    for entry in there {
        let entry = entry.map_err(Error::io(format!("list {}", directory.display())))?;
        let name = PathBuf::from(entry.file_name());
        if !wanted.contains_key(&name) {
            changes.push(Change::Remove(name));
        }
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_stale_missing_and_left_over_files() {
        let root = tempfile::tempdir().unwrap();
        let wanted: BTreeMap<PathBuf, String> =
            [("current", "a"), ("missing", "b"), ("stale", "c")]
                .into_iter()
                .map(|(name, text)| (name.into(), text.into()))
                .collect();
        for (name, text) in [("current", "a"), ("left over", "x"), ("stale", "old")] {
            fs::write(root.path().join(name), text).unwrap();
        }
        let found = changes(root.path(), &wanted, true).unwrap();
        let expected = [
            Change::Write("missing".into(), "b".into()),
            Change::Write("stale".into(), "c".into()),
            Change::Remove("left over".into()),
        ];
        assert_eq!(found, expected);

        for change in &found {
            change.apply(root.path()).unwrap();
        }
        assert_eq!(changes(root.path(), &wanted, true).unwrap(), []);
    }

    #[test]
    fn a_directory_that_is_not_there_yet_is_made() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("new");
        let wanted = BTreeMap::from([(PathBuf::from("one"), "1".to_owned())]);
        for change in changes(&directory, &wanted, true).unwrap() {
            change.apply(&directory).unwrap();
        }
        assert_eq!(fs::read_to_string(directory.join("one")).unwrap(), "1");
    }
}
