//! The environment, read once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// What the program takes from its surroundings.
#[derive(Debug, Clone)]
pub struct Env {
    /// Arguments, program name first.
    pub args: Vec<OsString>,
    /// Environment variables that are UTF-8.
    pub vars: BTreeMap<String, String>,
    /// Working directory.
    pub cwd: PathBuf,
    /// Path of this program.
    pub program: Option<PathBuf>,
}

impl Env {
    /// Reads it, at the start of `main`.
    pub fn read() -> Self {
        Self {
            args: std::env::args_os().collect(),
            vars: std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            program: std::env::current_exe().ok(),
        }
    }
}
