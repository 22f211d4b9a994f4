//! One layer: its values as JSON, and where each of them was written.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, key_of};
use crate::lane::Lane;
use crate::schema::{self, SchemaError, Validator};
use crate::spec::Violation;
use crate::spec::violation::join;

/// The compiled published schema of a layer.
static SCHEMA: LazyLock<Result<Validator, SchemaError>> =
    LazyLock::new(|| Validator::compile_published(schema::config_schema()));

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "layer", rename_all = "snake_case")]
pub enum Origin {
    /// Built in.
    Default,
    /// The project's file.
    Project {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// The user's file.
    User {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// A variable of the environment.
    Environment {
        /// Its name.
        variable: String,
    },
    /// A flag of the command line.
    Flag {
        /// As it was written, such as `--set`.
        flag: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Project { file, line } | Self::User { file, line } => write!(f, "{file}:{line}"),
            Self::Environment { variable } => f.write_str(variable),
            Self::Flag { flag } => f.write_str(flag),
        }
    }
}

/// The text of a configuration file, and what to call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// Its path, for people.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// A flag that sets a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFlag {
    /// The flag, such as `--lane`.
    pub flag: String,
    /// The key as in TOML, such as `review.two_person`.
    pub key: String,
    /// The value as in TOML; what is none is text.
    pub value: String,
}

/// Variables of the environment and the keys that they set.
///
/// Lanes, principals, alerts and incoming requests have names of their own and are set in files alone, as lists are.
pub const VARIABLES: [(&str, &str); 26] = [
    ("MOORLINE_LANE", "lane"),
    ("MOORLINE_EXECUTOR", "executor"),
    ("MOORLINE_CAPACITY", "capacity"),
    ("MOORLINE_LEASE_SECONDS", "lease_seconds"),
    ("MOORLINE_STORE", "store"),
    ("MOORLINE_DEFAULT_ROLE", "default_role"),
    ("MOORLINE_MODAL_SCOPE", "app_names.scope"),
    (
        "MOORLINE_MODAL_SHARED_ENVIRONMENT",
        "app_names.shared_environment",
    ),
    ("MODAL_APP_BRANCH", "app_names.dev_prefix.branch"),
    ("MODAL_APP_USER", "app_names.dev_prefix.user"),
    ("MOORLINE_REVIEW_TWO_PERSON", "review.two_person"),
    ("MOORLINE_SECRETS_BACKEND", "secrets.backend"),
    ("MOORLINE_SECRETS_KEY", "secrets.key"),
    ("MOORLINE_SERVER_BIND", "server.bind"),
    ("MOORLINE_SERVER_PUBLIC_URL", "server.public_url"),
    ("MOORLINE_SERVER_KICKOFF_JOB", "server.kickoff_job"),
    ("MOORLINE_SERVER_BODY_LIMIT_MB", "server.body_limit_mb"),
    ("MOORLINE_SERVER_UPLOAD_LIMIT_MB", "server.upload_limit_mb"),
    ("MOORLINE_SERVER_RATE_PER_SECOND", "server.rate_per_second"),
    ("MOORLINE_SERVER_RATE_BURST", "server.rate_burst"),
    (
        "MOORLINE_SERVER_REQUEST_TIMEOUT_SECONDS",
        "server.request_timeout_seconds",
    ),
    ("MOORLINE_SERVER_DRAIN_SECONDS", "server.drain_seconds"),
    ("MOORLINE_SERVER_TLS_CERT", "server.tls_cert"),
    ("MOORLINE_SERVER_TLS_KEY", "server.tls_key"),
    ("MOORLINE_SERVER_SESSION_HOURS", "server.session_hours"),
    ("MOORLINE_SERVER_METRICS_PUBLIC", "server.metrics_public"),
];

/// One layer, read.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer {
    /// What it says.
    pub(super) value: Value,
    /// Where each value and each table was written, by JSON pointer.
    pub(super) places: BTreeMap<String, Origin>,
}

impl Layer {
    /// The place of a pointer, or of the nearest thing around it.
    fn place(&self, pointer: &str) -> Option<&Origin> {
        let mut pointer = pointer;
        loop {
            if let Some(origin) = self.places.get(pointer) {
                return Some(origin);
            }
            pointer = pointer.rsplit_once('/')?.0;
        }
    }

    /// Everything in this layer that the published schema refuses.
    pub(super) fn check(&self, whole: &Origin, problems: &mut Vec<Problem>) {
        // The schema takes a moment to compile, which a layer that says nothing need not cost.
        if self.value.as_object().is_none_or(Map::is_empty) {
            return;
        }
        let refused = match &*SCHEMA {
            Ok(schema) => schema.check(&self.value),
            Err(error) => vec![Violation::new("", "schema", error.to_string())],
        };
        problems.extend(refused.into_iter().map(|violation| {
            let origin = self.place(&violation.pointer).unwrap_or(whole).clone();
            Problem::of_violation(violation, origin)
        }));
        self.check_lane_names(whole, problems);
    }

    /// What the pattern of the schema can not say of a lane's name.
    fn check_lane_names(&self, whole: &Origin, problems: &mut Vec<Problem>) {
        let Some(Value::Object(lanes)) = self.value.get("lanes") else {
            return;
        };
        for name in lanes.keys() {
            let pointer = join("/lanes", name);
            let origin = self.place(&pointer).unwrap_or(whole).clone();
            let problem = match name.parse::<Lane>() {
                Ok(lane) if lane.as_str() == name => continue,
                Ok(lane) => {
                    let message = format!("`{name}` is lane `{lane}`");
                    Problem::new(origin, key_of(&pointer), "D-REF-7", message)
                        .hint(format!("write `[lanes.{lane}]`"))
                }
                Err(error) => {
                    // A name that the schema refused is told of already.
                    let told = problems
                        .iter()
                        .any(|p| p.origin == origin && p.key == key_of(&pointer));
                    if told {
                        continue;
                    }
                    Problem::new(origin, key_of(&pointer), "D-REF-7", error.to_string())
                }
            };
            problems.push(problem);
        }
    }
}

/// Reads a file.
pub(super) fn file(
    file: &ConfigFile,
    origin: impl Fn(usize) -> Origin,
    problems: &mut Vec<Problem>,
) -> Layer {
    let text = file.text.as_str();
    let line_of = |at: usize| 1 + text.get(..at).unwrap_or(text).matches('\n').count();
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let line = error.span().map_or(1, |span| line_of(span.start));
        let message = format!("is not TOML: {}", error.message());
        problems.push(Problem::new(origin(line), "", "toml", message));
    }
    let mut layer = Layer::default();
    let place = |span: Range<usize>| origin(line_of(span.start));
    layer.value = object(table.get_ref(), "", &place, &mut layer.places);
    layer.check(&origin(1), problems);
    layer
}

/// Reads the variables of the environment. A variable that is empty says nothing.
pub(super) fn environment(
    variables: &BTreeMap<String, String>,
    problems: &mut Vec<Problem>,
) -> Layer {
    let mut layer = Layer {
        value: Value::Object(Map::new()),
        ..Layer::default()
    };
    for (name, key) in VARIABLES {
        let Some(text) = variables.get(name).filter(|text| !text.is_empty()) else {
            continue;
        };
        let origin = Origin::Environment {
            variable: name.to_owned(),
        };
        let value = match (name, text.as_str()) {
            // The words that this variable had first.
            ("MOORLINE_MODAL_SCOPE", text) => Value::String(text.replace('-', "_")),
            (_, text) if is_text(key) => Value::String(text.to_owned()),
            (_, text) => scalar(text),
        };
        put(&mut layer, key.split('.'), value, &origin);
    }
    misspelt(variables, problems);
    layer.check(&Origin::Default, problems);
    layer
}

/// Variables of ours that nobody reads but that are written almost like one that is read.
fn misspelt(variables: &BTreeMap<String, String>, problems: &mut Vec<Problem>) {
    /// What other parts of the program read.
    const OTHERS: [&str; 8] = [
        "MOORLINE_STATE",
        "MOORLINE_CONFIG",
        "MOORLINE_PRINCIPAL",
        "MOORLINE_KEY",
        "MOORLINE_BWRAP",
        "MOORLINE_MODAL_IMAGE",
        "MOORLINE_MODAL_HELPER",
        "MOORLINE_MODE",
    ];
    /// As alike as two words are of which one has a slip of the pen.
    const ALIKE: usize = 2;
    let known = VARIABLES.map(|(name, _)| name);
    for name in variables
        .keys()
        .filter(|name| name.starts_with("MOORLINE_"))
    {
        if known.contains(&name.as_str()) || OTHERS.contains(&name.as_str()) {
            continue;
        }
        let meant = known
            .iter()
            .find(|known| strsim::damerau_levenshtein(known, name) <= ALIKE);
        if let Some(meant) = meant {
            let origin = Origin::Environment {
                variable: name.clone(),
            };
            let problem = Problem::new(origin, "", "schema", "is not a variable that is read");
            problems.push(problem.hint(format!("did you mean `{meant}`?")));
        }
    }
}

/// Keys whose value is text, whatever it looks like.
fn is_text(key: &str) -> bool {
    !matches!(
        key,
        "capacity"
            | "lease_seconds"
            | "review.two_person"
            | "server.body_limit_mb"
            | "server.upload_limit_mb"
            | "server.rate_per_second"
            | "server.rate_burst"
            | "server.request_timeout_seconds"
            | "server.drain_seconds"
            | "server.session_hours"
            | "server.metrics_public"
    )
}

/// A number or a truth value where the text is one, else the text.
fn scalar(text: &str) -> Value {
    match text.parse::<toml::Value>() {
        Ok(toml::Value::Boolean(value)) => Value::Bool(value),
        Ok(toml::Value::Integer(value)) => Value::Number(value.into()),
        _ => Value::String(text.to_owned()),
    }
}

/// Reads the flags; the last of one key counts.
pub(super) fn flags(flags: &[ConfigFlag], problems: &mut Vec<Problem>) -> Layer {
    let mut layer = Layer {
        value: Value::Object(Map::new()),
        ..Layer::default()
    };
    for ConfigFlag { flag, key, value } in flags {
        let origin = Origin::Flag { flag: flag.clone() };
        let quoted = toml::Value::String(value.clone()).to_string();
        let texts = [format!("{key} = {value}"), format!("{key} = {quoted}")];
        // A line break would begin another key.
        let parsed = texts
            .iter()
            .filter(|text| !text.contains('\n'))
            .find_map(|text| DeTable::parse(text).ok());
        let Some(parsed) = parsed else {
            let message = format!("`{key}` is not a key");
            let problem = Problem::new(origin, key, "toml", message);
            problems.push(problem.hint("write for example `--set review.two_person=true`"));
            continue;
        };
        let mut places = BTreeMap::new();
        let value = object(parsed.get_ref(), "", &|_| origin.clone(), &mut places);
        overlay(&mut layer.value, value);
        layer.places.extend(places);
    }
    layer.check(&Origin::Default, problems);
    layer
}

fn overlay(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (name, value) in above {
                overlay(below.entry(name).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above,
    }
}

fn put<'a>(layer: &mut Layer, key: impl Iterator<Item = &'a str>, value: Value, origin: &Origin) {
    let mut pointer = String::new();
    let mut at = &mut layer.value;
    for part in key {
        pointer = join(&pointer, part);
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[part];
    }
    *at = value;
    layer.places.insert(pointer, origin.clone());
}

fn object(
    table: &DeTable<'_>,
    pointer: &str,
    place: &dyn Fn(Range<usize>) -> Origin,
    places: &mut BTreeMap<String, Origin>,
) -> Value {
    let mut members = Map::new();
    for (key, value) in table {
        let name = key.get_ref();
        let pointer = join(pointer, name);
        places.insert(pointer.clone(), place(key.span()));
        let value = json(value.get_ref(), &pointer, place, places);
        members.insert(name.to_string(), value);
    }
    Value::Object(members)
}

fn json(
    value: &DeValue<'_>,
    pointer: &str,
    place: &dyn Fn(Range<usize>) -> Origin,
    places: &mut BTreeMap<String, Origin>,
) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::String(number.to_string()), Into::into),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .ok()
            .and_then(Number::from_f64)
            .map_or_else(|| Value::String(number.to_string()), Value::Number),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| {
                let pointer = join(pointer, &index.to_string());
                places.insert(pointer.clone(), place(item.span()));
                json(item.get_ref(), &pointer, place, places)
            })
            .collect(),
        DeValue::Table(table) => object(table, pointer, place, places),
    }
}

/// The `store` of a file, whatever else is wrong with it: a stop has to find it.
///
/// ```
/// use moorline_core::config::store_of;
///
/// let text = "store = \"postgres://db/moorline\"\n[lanes.prd]\nextend = 1\n[[[";
/// assert_eq!(store_of(text).as_deref(), Some("postgres://db/moorline"));
/// ```
pub fn store_of(text: &str) -> Option<String> {
    let (table, _) = DeTable::parse_recoverable(text);
    let store = table.get_ref().get("store")?.get_ref();
    store.as_str().map(str::to_owned)
}
