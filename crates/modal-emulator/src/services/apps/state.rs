//! What is kept of apps: their states, versions and heartbeats.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use moorline_modal_proto::client::{AppLifecycle, AppState, CommitInfo};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tonic::Status;

use crate::kept::Kept;
use crate::services::workspace;

/// How long an app lives on without a heartbeat of its client, in seconds. Clients send one each 15 s.
pub(super) const GRACE: f64 = 60.0;

/// The apps' part of the world.
#[derive(Debug)]
pub(crate) struct AppsPart {
    pub(super) kept: Kept<Apps>,
    /// When the client of an app was last heard, for apps that need one. Seconds since 1970.
    heard: Mutex<HashMap<String, f64>>,
    /// Another app needs watching.
    pub(super) watch: Notify,
}

impl AppsPart {
    pub(crate) fn new(kept: Kept<Apps>) -> Self {
        Self {
            kept,
            heard: Mutex::default(),
            watch: Notify::new(),
        }
    }

    pub(crate) fn flush(&self) -> std::io::Result<()> {
        self.kept.flush()
    }

    /// The client of an app lives.
    pub(super) fn hear(&self, app_id: &str, now: f64) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.insert(app_id.to_owned(), now).is_none() {
            self.watch.notify_one();
        }
    }

    /// An app needs no client any more.
    pub(super) fn forget(&self, app_id: &str) {
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(app_id);
    }

    /// Apps whose clients were silent for too long, and the time until the next one will be.
    pub(super) fn expired(&self, now: f64) -> (Vec<String>, Option<Duration>) {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |at: f64| at + GRACE <= now;
        let expired = heard
            .iter()
            .filter(|(_, at)| over(**at))
            .map(|(id, _)| id.clone())
            .collect();
        let next = heard
            .values()
            .filter(|at| !over(**at))
            .copied()
            .reduce(f64::min);
        (
            expired,
            next.map(|at| Duration::from_secs_f64((at + GRACE - now).max(0.0))),
        )
    }
}

/// All apps, by id.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Apps {
    pub(super) apps: BTreeMap<String, App>,
}

/// One app.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct App {
    /// `ap-…`.
    pub(crate) id: String,
    /// For people; of a deployed app its name.
    pub(crate) description: String,
    /// Unique among the deployed apps of an environment; stays when the app is stopped.
    pub(crate) name: Option<String>,
    /// Name of its environment.
    pub(crate) environment: String,
    /// An [`AppState`].
    state: i32,
    pub(crate) tags: BTreeMap<String, String>,
    pub(super) created_at: f64,
    pub(super) stopped_at: f64,
    /// Empty when it ended by itself.
    pub(super) stopped_by: String,
    /// Version 1 first. Empty for what is not deployed.
    pub(super) versions: Vec<Version>,
    /// The version in force; 0 for none.
    pub(super) production: u32,
    /// What is in force.
    pub(crate) layout: Layout,
}

/// The objects of an app by their tags.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "as in the messages")]
pub(crate) struct Layout {
    /// Tag, e.g. `square` or `Model.*`, to function id.
    pub(crate) function_ids: BTreeMap<String, String>,
    /// Name of a class to class id.
    pub(crate) class_ids: BTreeMap<String, String>,
    /// Function id to the id of the definition that is meant.
    pub(crate) definition_ids: BTreeMap<String, String>,
}

/// One deployment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Version {
    /// 1 for the first.
    pub(super) number: u32,
    pub(super) layout: Layout,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) deployed_at: f64,
    /// Of the client that deployed it.
    pub(super) client: String,
    /// The user's word for it.
    pub(super) tag: String,
    pub(super) commit: Option<Commit>,
    /// A `DeploymentType`.
    pub(super) kind: i32,
    /// The version that it repeats; 0 for none.
    pub(super) repeats: u32,
    /// Recorded only: never in force itself.
    pub(super) staged: bool,
}

/// Where the source of a version stood.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Commit {
    vcs: String,
    branch: String,
    hash: String,
    timestamp: i64,
    dirty: bool,
    author_name: String,
    author_email: String,
    repo_url: String,
}

impl From<CommitInfo> for Commit {
    fn from(info: CommitInfo) -> Self {
        Self {
            vcs: info.vcs,
            branch: info.branch,
            hash: info.commit_hash,
            timestamp: info.commit_timestamp,
            dirty: info.dirty,
            author_name: info.author_name,
            author_email: info.author_email,
            repo_url: info.repo_url,
        }
    }
}

impl From<Commit> for CommitInfo {
    fn from(commit: Commit) -> Self {
        Self {
            vcs: commit.vcs,
            branch: commit.branch,
            commit_hash: commit.hash,
            commit_timestamp: commit.timestamp,
            dirty: commit.dirty,
            author_name: commit.author_name,
            author_email: commit.author_email,
            repo_url: commit.repo_url,
        }
    }
}

impl App {
    pub(super) fn new(
        id: String,
        description: String,
        environment: String,
        state: AppState,
    ) -> Self {
        Self {
            id,
            description,
            name: None,
            environment,
            state: state.into(),
            tags: BTreeMap::new(),
            created_at: crate::clock::seconds(),
            stopped_at: 0.0,
            stopped_by: String::new(),
            versions: Vec::new(),
            production: 0,
            layout: Layout::default(),
        }
    }

    pub(crate) fn state(&self) -> AppState {
        AppState::try_from(self.state).unwrap_or(AppState::Unspecified)
    }

    pub(super) fn set_state(&mut self, state: AppState) {
        self.state = state.into();
    }

    /// It has stopped, or is about to.
    pub(crate) fn ended(&self) -> bool {
        matches!(self.state(), AppState::Stopping | AppState::Stopped)
    }

    /// Its client is still there, and its silence means something.
    pub(super) fn has_client(&self) -> bool {
        matches!(
            self.state(),
            AppState::Ephemeral | AppState::Initializing | AppState::Detached
        )
    }

    pub(super) fn version(&self, number: u32) -> Option<&Version> {
        self.versions
            .iter()
            .find(|version| version.number == number)
    }

    pub(super) fn lifecycle(&self) -> AppLifecycle {
        let current = self.version(self.production);
        let user = || workspace::USER.to_owned();
        AppLifecycle {
            app_state: self.state,
            created_at: self.created_at,
            created_by: user(),
            deployed_at: current
                .map(|version| version.deployed_at)
                .unwrap_or_default(),
            deployed_by: current.map(|_| user()).unwrap_or_default(),
            version: i32::try_from(self.production).unwrap_or(i32::MAX),
            stopped_at: self.stopped_at,
            stopped_by: self.stopped_by.clone(),
        }
    }
}

impl Apps {
    pub(super) fn get(&self, id: &str) -> Result<&App, Status> {
        self.apps.get(id).ok_or_else(|| unknown(id))
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Result<&mut App, Status> {
        self.apps.get_mut(id).ok_or_else(|| unknown(id))
    }

    /// The deployed app of a name.
    pub(super) fn deployed<'a>(&'a self, environment: &'a str, name: &'a str) -> Option<&'a App> {
        self.named(environment, name)
            .find(|app| app.state() == AppState::Deployed)
    }

    /// The app of a name that was stopped last.
    pub(super) fn stopped<'a>(&'a self, environment: &'a str, name: &'a str) -> Option<&'a App> {
        self.named(environment, name)
            .filter(|app| app.ended())
            .max_by(|a, b| a.stopped_at.total_cmp(&b.stopped_at))
    }

    fn named<'a>(&'a self, environment: &'a str, name: &'a str) -> impl Iterator<Item = &'a App> {
        self.apps
            .values()
            .filter(move |app| app.environment == environment && app.name.as_deref() == Some(name))
    }
}

fn unknown(id: &str) -> Status {
    Status::not_found(format!("App '{id}' not found"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(dir: &std::path::Path) -> AppsPart {
        AppsPart::new(Kept::open(dir, "apps").unwrap())
    }

    #[test]
    fn an_app_expires_when_its_client_was_silent_for_the_time_of_grace() {
        let dir = tempfile::tempdir().unwrap();
        let part = part(dir.path());
        assert_eq!(part.expired(0.0), (vec![], None));
        part.hear("ap-1", 100.0);
        part.hear("ap-2", 110.0);
        assert_eq!(part.expired(101.0), (vec![], Some(Duration::from_secs(59))));
        part.hear("ap-1", 115.0);
        let expired = part.expired(170.0);
        assert_eq!(
            expired,
            (vec!["ap-2".to_owned()], Some(Duration::from_secs(5)))
        );
        part.forget("ap-2");
        part.forget("ap-1");
        assert_eq!(part.expired(1000.0), (vec![], None));
    }

    #[test]
    fn a_name_is_that_of_the_deployed_app_or_of_the_one_stopped_last() {
        let mut apps = Apps::default();
        for (id, state, stopped_at) in [
            ("ap-1", AppState::Stopped, 5.0),
            ("ap-2", AppState::Stopped, 9.0),
            ("ap-3", AppState::Deployed, 0.0),
        ] {
            let mut app = App::new(id.to_owned(), "job".to_owned(), "main".to_owned(), state);
            app.name = Some("job".to_owned());
            app.stopped_at = stopped_at;
            apps.apps.insert(id.to_owned(), app);
        }
        let id = |app: Option<&App>| app.map(|app| app.id.clone());
        assert_eq!(id(apps.deployed("main", "job")).as_deref(), Some("ap-3"));
        assert_eq!(id(apps.stopped("main", "job")).as_deref(), Some("ap-2"));
        assert_eq!(id(apps.deployed("dev", "job")), None);
    }
}
