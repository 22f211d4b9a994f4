//! `docs/modal.md`: what of Modal's API is covered, by whom.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::workspace::Workspace;

/// The data, from the root.
const DATA: &str = "docs/data/modal-coverage.toml";
/// What stands above the table.
const HEAD: &str = include_str!("modal-head.txt");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    versions: Versions,
    row: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Versions {
    python: String,
    js: String,
    go: String,
    modal_rs: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    capability: String,
    moorline: Mark,
    python: Mark,
    js: Mark,
    go: Mark,
    modal_rs: Mark,
    rpcs: Vec<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mark {
    Yes,
    No,
    Part,
}

impl Mark {
    fn text(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "–",
            Self::Part => "in part",
        }
    }
}

/// The page, as a file of `docs/`.
pub(super) fn page(workspace: &Workspace) -> Result<BTreeMap<PathBuf, String>> {
    let path = workspace.root().join(DATA);
    let text = fs::read_to_string(&path).map_err(Error::io(format!("read {DATA}")))?;
    let data: Data = toml::from_str(&text)
        .map_err(|error| Error::Refused(format!("{DATA} is not as it should be: {error}")))?;
    Ok(BTreeMap::from([("modal.md".into(), render(&data))]))
}

fn render(data: &Data) -> String {
    let Versions {
        python,
        js,
        go,
        modal_rs,
    } = &data.versions;
    let mut page = HEAD.to_owned();
    // Writing to a string does not fail.
    let _ = writeln!(
        page,
        "| Capability | Moorline | Python {python} | JavaScript {js} | Go {go} | modal-rs {modal_rs} |\n\
         |---|---|---|---|---|---|"
    );
    for row in &data.row {
        let marks = [row.moorline, row.python, row.js, row.go, row.modal_rs].map(Mark::text);
        let _ = writeln!(page, "| {} | {} |", row.capability, marks.join(" | "));
    }
    let mut rpcs: Vec<&str> = data
        .row
        .iter()
        .flat_map(|row| &row.rpcs)
        .map(String::as_str)
        .collect();
    rpcs.sort_unstable();
    rpcs.dedup();
    let _ = write!(
        page,
        "\nThe rows of Moorline stand on these RPCs, each of which the client calls and the emulator \
         answers: {}.\n",
        rpcs.iter()
            .map(|rpc| format!("`{rpc}`"))
            .collect::<Vec<_>>()
            .join(", ")
    );
    page
}
