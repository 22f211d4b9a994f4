//! From layers to settings: defaults, then the project, the user, the environment, the flags.
//!
//! A later layer wins, key by key, and every value keeps where it came from. What a project demands is not
//! for a user's machine to take away: see [`trust`](super::trust). All that is wrong is reported at once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::document::{self, ConfigDocument};
use super::layer::{self, ConfigFile, ConfigFlag, Layer, Origin};
use super::problem::{Problem, Problems, key_of};
use super::{AlertDestination, ReviewSettings, SecretSettings, Settings, StoreUrl};
use super::{lanes, separation, server, trust};
use crate::app_name::{AppPolicy, DevPrefix};
use crate::lane::Lane;
use crate::spec::violation::{did_you_mean, join};

/// What the settings are made from. Nothing is read here: programs hand over texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layers {
    /// The project's file.
    pub project: Option<ConfigFile>,
    /// The user's file.
    pub user: Option<ConfigFile>,
    /// The environment; only [`VARIABLES`](super::VARIABLES) count.
    pub variables: BTreeMap<String, String>,
    /// The flags, as they were given.
    pub flags: Vec<ConfigFlag>,
}

/// One value, and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The key as in TOML.
    pub key: String,
    /// The value; `null` where nothing is set.
    pub value: Value,
    /// Where it was written.
    pub origin: Origin,
    /// The lane that this one has it from, by `extends`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inherited_from: Option<Lane>,
}

/// Settings, with the provenance of every value.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The settings.
    pub settings: Settings,
    /// Every value, by key.
    pub entries: Vec<Entry>,
}

/// Tables of names of one's own, which are there though nothing is in them.
const NAMED: [&str; 3] = ["principals", "alerts", "server.incoming"];

impl Resolved {
    /// The values at a key or below it.
    ///
    /// # Errors
    /// No such key; the closest one, where there is one.
    pub fn at(&self, key: &str) -> Result<Vec<&Entry>, Option<&str>> {
        let below = format!("{key}.");
        let found: Vec<&Entry> = self
            .entries
            .iter()
            .filter(|entry| entry.key == key || entry.key.starts_with(&below))
            .collect();
        if found.is_empty() && !NAMED.contains(&key) {
            return Err(did_you_mean(
                key,
                self.entries.iter().map(|e| e.key.as_str()),
            ));
        }
        Ok(found)
    }

    /// Where a key was set, or the closest thing around it; for what is wrong with it.
    pub fn origin_of(&self, key: &str) -> Origin {
        let below = format!("{key}.");
        let written = |entry: &&Entry| entry.origin != Origin::Default;
        self.entries
            .iter()
            .filter(|entry| entry.key == key || entry.key.starts_with(&below))
            .find(written)
            .map_or(Origin::Default, |entry| entry.origin.clone())
    }
}

/// The settings of these layers.
///
/// # Errors
/// Everything that is wrong with them: what is no TOML, unknown keys, wrong values, lanes that could reach
/// objects of production (`D-REF-7`), demands that a layer may not take away.
///
/// ```
/// use moorline_core::config::{ConfigFile, Layers, resolve};
///
/// let project = |text: &str| Layers {
///     project: Some(ConfigFile { path: "moorline.toml".into(), text: text.into() }),
///     ..Layers::default()
/// };
/// let resolved = resolve(&project("[lanes.qa]\nextends = \"prod\"\n"))?;
/// assert!(resolved.settings.lanes[&"qa".parse().unwrap()].rules.requires_approval);
/// let wrong = resolve(&project("[review]\ntwo_persons = true\n")).unwrap_err();
/// assert_eq!(
///     wrong.to_string(),
///     "moorline.toml:2: review.two_persons: is not a field of this object (schema); did you mean \
///      `two_person`?"
/// );
/// # Ok::<(), moorline_core::config::Problems>(())
/// ```
pub fn resolve(layers: &Layers) -> Result<Resolved, Problems> {
    let mut problems = Vec::new();
    let project = layers.project.as_ref().map(|file| {
        let path = file.path.clone();
        let origin = move |line| Origin::Project {
            file: path.clone(),
            line,
        };
        layer::file(file, origin, &mut problems)
    });
    let user = layers.user.as_ref().map(|file| {
        let path = file.path.clone();
        let origin = move |line| Origin::User {
            file: path.clone(),
            line,
        };
        layer::file(file, origin, &mut problems)
    });
    let environment = layer::environment(&layers.variables, &mut problems);
    let flags = layer::flags(&layers.flags, &mut problems);
    if let Some(problems) = Problems::of(problems) {
        return Err(problems);
    }
    let mut merged = Merged::defaults();
    if let Some(layer) = &project {
        merged.add(layer);
    }
    let decided = merged.resolve();
    for layer in user.iter().chain([&environment, &flags]) {
        merged.add(layer);
    }
    let (resolved, mut problems) = merged.resolve();
    // What is wrong with the project's file alone is told once, below.
    if decided.1.is_empty() {
        trust::check(&decided.0, &resolved, &mut problems);
    }
    Problems::of(problems).map_or(Ok(resolved), Err)
}

/// Layers laid over each other.
struct Merged {
    value: Value,
    /// Where each value was written that is not built in, by JSON pointer.
    origins: BTreeMap<String, Origin>,
}

impl Merged {
    fn defaults() -> Self {
        Self {
            value: document::defaults(),
            origins: BTreeMap::new(),
        }
    }

    fn add(&mut self, layer: &Layer) {
        let Self { value, origins } = self;
        overlay(value, &layer.value, "", &mut |pointer| {
            if let Some(origin) = layer.places.get(pointer) {
                origins.insert(pointer.to_owned(), origin.clone());
            }
        });
    }

    /// The settings, as far as they make sense, and what is wrong with them.
    fn resolve(&self) -> (Resolved, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut resolved = Resolved {
            settings: Settings::default(),
            entries: self.entries(),
        };
        let mut value = self.value.clone();
        drop_nulls(&mut value);
        let document = match ConfigDocument::deserialize(value) {
            Ok(document) => document,
            Err(error) => {
                // What a pattern can not say, such as the name of a lane that looks like `prod`.
                let origin = self.origins.values().max().cloned();
                let origin = origin.unwrap_or(Origin::Default);
                problems.push(Problem::new(origin, "", "schema", error.to_string()));
                return (resolved, problems);
            }
        };
        let inherited = lanes::inherited(&document.lanes, &resolved, &mut problems);
        resolved.entries.extend(inherited.entries);
        resolved.entries.sort_by(|a, b| a.key.cmp(&b.key));
        resolved.settings = settings(document, inherited.lanes, &resolved, &mut problems);
        lanes::floor(&resolved, &mut problems);
        separation::check(&resolved, &mut problems);
        (resolved, problems)
    }

    fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        leaves(&self.value, "", &mut |pointer, value| {
            entries.push(Entry {
                key: key_of(pointer),
                value: match (pointer, value) {
                    // Shown to people, so without its password.
                    ("/store", Value::String(url)) => StoreUrl::new(url.clone()).to_string().into(),
                    _ => value.clone(),
                },
                origin: self.origin(pointer),
                inherited_from: None,
            });
        });
        entries
    }

    fn origin(&self, pointer: &str) -> Origin {
        self.origins
            .get(pointer)
            .cloned()
            .unwrap_or(Origin::Default)
    }
}

/// Whether a pointer is of one value, though it may be written as a table: parts of two egress rules or
/// naming policies make no third one.
fn is_one_value(pointer: &str) -> bool {
    let mut parts = pointer.split('/').skip(1);
    let first = parts.next();
    let third = parts.nth(1);
    first == Some("lanes") && matches!(third, Some("egress" | "secrets"))
}

fn overlay(below: &mut Value, above: &Value, pointer: &str, set: &mut dyn FnMut(&str)) {
    match above {
        Value::Object(above) if !is_one_value(pointer) => {
            if !below.is_object() {
                *below = Value::Object(Map::new());
            }
            for (name, value) in above {
                overlay(&mut below[name], value, &join(pointer, name), set);
            }
        }
        above => {
            *below = above.clone();
            set(pointer);
        }
    }
}

fn leaves(value: &Value, pointer: &str, found: &mut dyn FnMut(&str, &Value)) {
    match value {
        Value::Object(members) if !is_one_value(pointer) => {
            for (name, value) in members {
                leaves(value, &join(pointer, name), found);
            }
        }
        leaf => found(pointer, leaf),
    }
}

fn drop_nulls(value: &mut Value) {
    if let Value::Object(members) = value {
        members.retain(|_, value| !value.is_null());
        members.values_mut().for_each(drop_nulls);
    }
}

fn settings(
    document: ConfigDocument,
    lanes: BTreeMap<Lane, super::LaneSettings>,
    resolved: &Resolved,
    problems: &mut Vec<Problem>,
) -> Settings {
    let default = Settings::default();
    let prefix = DevPrefix {
        branch: document.app_names.dev_prefix.branch,
        user: document.app_names.dev_prefix.user,
    };
    let lane = document.lane.unwrap_or(default.lane);
    if !lanes.contains_key(&lane) {
        let message = format!("no lane `{lane}` is configured");
        let problem = Problem::new(resolved.origin_of("lane"), "lane", "D-SPEC-3", message);
        let meant = did_you_mean(lane.as_str(), lanes.keys().map(Lane::as_str));
        problems.push(match meant {
            Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
            None => problem.hint("add a table `[lanes.NAME]`, or name one that is there"),
        });
    }
    let store = document.store.map(StoreUrl::new);
    if let Some(store) = &store {
        let origin = resolved.origin_of("store");
        let written = matches!(origin, Origin::Project { .. } | Origin::User { .. });
        if written && store.has_password() {
            let message = "holds a password, which has no place in a file";
            let problem = Problem::new(origin, "store", "D-SEC-3", message);
            problems.push(problem.hint("give the whole URL in MOORLINE_STORE, or use `~/.pgpass`"));
        }
    }
    let environments = lanes
        .iter()
        .filter_map(|(name, lane)| Some((name.clone(), lane.modal_environment.parse().ok()?)))
        .collect();
    let server = server::settings(document.server, resolved, problems);
    Settings {
        lane,
        executor: document.executor.unwrap_or(default.executor),
        capacity: document.capacity.unwrap_or(default.capacity),
        lease_seconds: document.lease_seconds.unwrap_or(default.lease_seconds),
        store,
        lanes,
        app_names: AppPolicy {
            scope: document.app_names.scope.unwrap_or(default.app_names.scope),
            shared_environment: document
                .app_names
                .shared_environment
                .unwrap_or(default.app_names.shared_environment),
            dev_prefix: (prefix != DevPrefix::default()).then_some(prefix),
            environments,
        },
        review: ReviewSettings {
            two_person: document.review.two_person.unwrap_or_default(),
        },
        principals: document.principals,
        default_role: document.default_role.unwrap_or(default.default_role),
        alerts: document
            .alerts
            .into_iter()
            .map(|(name, alert)| AlertDestination {
                name,
                channel: alert.channel,
                target: alert.target,
                target_secret: alert.target_secret,
                secret: alert.secret,
                smtp: alert.smtp,
                from: alert.from,
                min_level: alert.min_level,
            })
            .collect(),
        secrets: SecretSettings {
            backend: document.secrets.backend.unwrap_or(default.secrets.backend),
            key: document.secrets.key,
        },
        server,
    }
}
