//! One suite of behaviours of the `ControlPlane`, for an engine in this process and for the client over HTTP: the
//! same calls, the same effects, and refusals that are equal word by word.
//!
//! Each case does its assertions on whatever plane it is given and writes down every refusal that it met. The
//! two lists of a case must be equal: code, message, hint and findings. Every operation has a case.

mod artifacts;
mod governance;
mod lifecycle;
mod runs;

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use moorline_api::client::{Client, Options, Signer};
use moorline_api::{ApiError, ControlPlane};
use moorline_core::artifact::SignedRecord;
use moorline_core::artifact::signature::Attestation;
use moorline_core::config::{DEFAULT_PROJECT, Settings};
use moorline_core::principal::{Principal, PublicKey};
use moorline_engine::{KeyPlace, StateDirs, assemble};
use moorline_testkit::moorline::binary;
use moorline_testkit::moorlined::{Server, ServerOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Who does everything.
const ADA: &str = "human:ada";

/// A plane under test, with a place for files.
struct Stage {
    plane: Arc<dyn ControlPlane>,
    home: TempDir,
    /// Refusals so far, as they are told.
    refused: Vec<Value>,
}

impl Stage {
    fn new(plane: Arc<dyn ControlPlane>) -> Self {
        Self {
            plane,
            home: tempfile::tempdir().unwrap(),
            refused: Vec::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a job directory with this spec.
    fn job(&self, name: &str, spec: &Value) -> PathBuf {
        let dir = self.path(name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("job_spec.json"), spec.to_string()).unwrap();
        dir
    }

    /// A job of one step that runs a script.
    fn shell(&self, name: &str, script: &str) -> PathBuf {
        let step = json!({"name": "main", "argv": ["/bin/sh", "-c", script], "egress": "none"});
        self.job(name, &json!({"job_id": name, "steps": [step]}))
    }

    /// Writes down that something was refused.
    fn refused<T: std::fmt::Debug>(&mut self, what: &str, done: Result<T, ApiError>) {
        let error = done.expect_err(what);
        let text = json!({"what": what, "error": error}).to_string();
        let home = self.home.path().display().to_string();
        let text = without_ids(&text.replace(&home, "HOME"));
        self.refused.push(serde_json::from_str(&text).unwrap());
    }
}

/// A text in which every id and every time is the same.
fn without_ids(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (name, length) = if is_like(rest, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx") {
            ("ID", 36)
        } else if is_like(rest, "xxxx-xx-xxTxx:xx:xx") {
            ("TIME", rest.find('Z').map_or(19, |end| end + 1))
        } else {
            kept.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        kept.push_str(name);
        rest = &rest[length..];
    }
    kept
}

/// Whether a text begins like this, where `x` is any hexadecimal digit.
fn is_like(text: &str, form: &str) -> bool {
    text.len() >= form.len()
        && text
            .bytes()
            .zip(form.bytes())
            .all(|(byte, form)| match form {
                b'x' => byte.is_ascii_hexdigit(),
                _ => byte == form,
            })
}

fn ada() -> Principal {
    ADA.parse().unwrap()
}

/// Signs with keys of the test.
#[derive(Debug)]
struct Keys(KeyPlace);

impl Signer for Keys {
    fn public_key(&self, by: &Principal) -> Result<PublicKey, ApiError> {
        Ok(self.0.read_or_make(by)?.0.verifying_key().into())
    }

    fn sign(&self, attestation: &Attestation) -> Result<SignedRecord, ApiError> {
        let (key, _) = self.0.read_or_make(&attestation.by)?;
        Ok(attestation.sign(&key).unwrap())
    }
}

/// Variables of the environment that both are given.
type Variables = BTreeMap<String, String>;

/// An engine in this process.
async fn engine(state: &Path, mut vars: Variables) -> moorline_engine::Engine {
    vars.insert("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned());
    let options = assemble::Options {
        project: DEFAULT_PROJECT.to_owned(),
        dirs: StateDirs::new(state.join("state")),
        settings: Arc::new(settings(state)),
        keys: KeyPlace::new(state.join("keys")),
        vars,
        ambient_secrets: false,
        helper: binary("moorline").unwrap(),
    };
    assemble::embedded(options).await.unwrap()
}

/// The same settings for both: secrets in an encrypted file, whose key is a file as well.
fn settings(state: &Path) -> Settings {
    let file = moorline_core::config::ConfigFile {
        path: "moorline.toml".to_owned(),
        text: toml(state),
    };
    let layers = moorline_core::config::Layers {
        project: Some(file),
        ..moorline_core::config::Layers::default()
    };
    moorline_engine::configure(&layers).unwrap().settings
}

fn toml(state: &Path) -> String {
    format!(
        "[secrets]\nkey = \"{}\"\n[server]\nrate_per_second = 10000\n",
        state.join("secrets.key").display()
    )
}

/// A real server, and a client of it.
fn served(state: &Path, vars: &Variables) -> (Server, Client) {
    let options = ServerOptions::new().unwrap().config(&toml(state)).unwrap();
    let options = vars
        .iter()
        .fold(options, |options, (name, value)| options.env(name, value));
    let server = options.start().unwrap();
    let token = server.token("ada", ["--principal", ADA]).unwrap();
    let mut options = Options::new(server.url(), token);
    options.signer = Some(Arc::new(Keys(KeyPlace::new(state.join("keys")))));
    (server, Client::new(options).unwrap())
}

/// Does a case in process and over HTTP.
fn on_both<F, W>(case: F)
where
    F: Fn(Stage) -> W,
    W: Future<Output = Stage>,
{
    on_both_with(Variables::new(), case);
}

/// As [`on_both`], in an environment.
fn on_both_with<F, W>(vars: Variables, case: F)
where
    F: Fn(Stage) -> W,
    W: Future<Output = Stage>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let here = tempfile::tempdir().unwrap();
    let in_process = runtime.block_on(async {
        let engine = engine(here.path(), vars.clone()).await;
        let done = case(Stage::new(Arc::new(engine.clone()))).await;
        engine.drain().await;
        done.refused
    });
    let there = tempfile::tempdir().unwrap();
    let (server, client) = served(there.path(), &vars);
    let over_http = runtime.block_on(async { case(Stage::new(Arc::new(client))).await.refused });
    drop(server);
    assert_eq!(over_http, in_process);
}

/// Where the cases are.
const CASES: [&str; 4] = [
    include_str!("conformance/artifacts.rs"),
    include_str!("conformance/governance.rs"),
    include_str!("conformance/lifecycle.rs"),
    include_str!("conformance/runs.rs"),
];

/// Operations without a case, each with the reason.
const WITHOUT: [(&str, &str); 0] = [];

/// What a case calls, it calls on both planes: so an operation that is called by none has no conformance.
#[test]
fn every_operation_has_a_case() {
    let called = |name: &str| {
        let call = format!(".{name}(");
        CASES.iter().any(|cases| cases.contains(&call))
    };
    let without: Vec<&str> = moorline_api::routes::ROUTES
        .iter()
        .map(|route| route.name)
        .filter(|name| !called(name) && !WITHOUT.iter().any(|(known, _)| known == name))
        .collect();
    assert_eq!(without, [] as [&str; 0], "no case does this on both planes");
    for (name, reason) in WITHOUT {
        assert!(!called(name) && !reason.is_empty(), "`{name}` has a case");
    }
}
