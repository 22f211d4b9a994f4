//! What is remembered of each sandbox, also when it is over and after the emulator was started anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use moorline_modal_proto::client::generic_result::GenericStatus;
use moorline_modal_proto::client::{
    GenericResult, ResourceInfo, Sandbox, SandboxHandleMetadata, SandboxInfo, SandboxTag, TaskInfo,
    TunnelData, resource_info,
};
use prost::Message as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Microseconds since 1970. No two sandboxes have the same, so that lists can be paged by it.
pub(crate) type Created = u64;

/// How a sandbox ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    status: i32,
    exit_code: i32,
    reason: String,
}

impl Outcome {
    pub(crate) fn new(status: GenericStatus, exit_code: i32, reason: impl Into<String>) -> Self {
        Self {
            status: status.into(),
            exit_code,
            reason: reason.into(),
        }
    }

    /// As clients are told it.
    pub(crate) fn result(&self) -> GenericResult {
        GenericResult {
            status: self.status,
            exitcode: self.exit_code,
            exception: self.reason.clone(),
            ..GenericResult::default()
        }
    }
}

/// The image that was made of a sandbox when it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ExitSnapshot {
    Image(String),
    Failed(String),
}

/// One sandbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) task_id: String,
    pub(crate) app_id: String,
    pub(crate) environment: String,
    pub(crate) created: Created,
    pub(crate) name: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
    /// Without the values of secrets: those stay in memory.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub(crate) definition: Sandbox,
    /// Seconds since 1970.
    pub(crate) started_at: Option<f64>,
    pub(crate) ready_at: Option<f64>,
    pub(crate) finished_at: Option<f64>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) exit_snapshot: Option<ExitSnapshot>,
    /// While it runs.
    #[serde(skip)]
    pub(crate) tunnels: Vec<TunnelData>,
}

impl Record {
    /// Seconds since 1970.
    pub(crate) fn created_at(&self) -> f64 {
        seconds(self.created)
    }

    /// How it ended, once it has.
    pub(crate) fn result(&self) -> Option<GenericResult> {
        self.outcome.as_ref().map(Outcome::result)
    }

    pub(crate) fn metadata(&self) -> SandboxHandleMetadata {
        SandboxHandleMetadata {
            result: self.result(),
            app_id: self.app_id.clone(),
        }
    }

    /// Whether it has all of these tags.
    pub(crate) fn has(&self, tags: &[SandboxTag]) -> bool {
        tags.iter()
            .all(|tag| self.tags.get(&tag.tag_name) == Some(&tag.tag_value))
    }

    pub(crate) fn tags(&self) -> Vec<SandboxTag> {
        let tag = |(name, value): (&String, &String)| SandboxTag {
            tag_name: name.clone(),
            tag_value: value.clone(),
        };
        self.tags.iter().map(tag).collect()
    }

    /// As lists show it.
    pub(crate) fn info(&self) -> SandboxInfo {
        let definition = &self.definition;
        let resources = definition.resources.clone().unwrap_or_default();
        let value = |value| {
            Some(resource_info::ResourceValue {
                value,
                is_default: value == 0,
            })
        };
        let gpu = resources.gpu_config.clone().unwrap_or_default();
        SandboxInfo {
            id: self.id.clone(),
            created_at: self.created_at(),
            task_info: Some(TaskInfo {
                id: self.task_id.clone(),
                enqueued_at: self.created_at(),
                started_at: self.started_at.unwrap_or(0.0),
                finished_at: self.finished_at.unwrap_or(0.0),
                result: self.result(),
                gpu_type: gpu.gpu_type.clone(),
                gpu_config: resources.gpu_config.clone(),
                sandbox_id: self.id.clone(),
                ..TaskInfo::default()
            }),
            app_id: self.app_id.clone(),
            tags: self.tags(),
            name: self.name.clone().unwrap_or_default(),
            image_id: definition.image_id.clone(),
            resource_info: Some(ResourceInfo {
                memory_mb: value(resources.memory_mb),
                milli_cpu: value(resources.milli_cpu),
                gpu_type: gpu.gpu_type,
                memory_mb_max: resources.memory_mb_max,
                ephemeral_disk_mb: resources.ephemeral_disk_mb,
                milli_cpu_max: resources.milli_cpu_max,
            }),
            regions: definition
                .scheduler_placement
                .clone()
                .unwrap_or_default()
                .regions,
            timeout_secs: definition.timeout_secs,
            idle_timeout_secs: definition.idle_timeout_secs,
            ready_at: self.ready_at,
            readiness_probe: definition.readiness_probe.clone(),
            tunnels: self.tunnels.clone(),
            metadata: Some(self.metadata()),
        }
    }
}

/// Seconds since 1970, as clients send them back to ask for the next page.
#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds of this century fit"
)]
fn seconds(created: Created) -> f64 {
    created as f64 / 1e6
}

pub(super) fn to_base64<S: Serializer>(
    definition: &Sandbox,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    use base64::Engine as _;
    let bytes = definition.encode_to_vec();
    serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(bytes))
}

pub(super) fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Sandbox, D::Error> {
    use base64::Engine as _;
    let text = String::deserialize(deserializer)?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text);
    let bytes = bytes.map_err(serde::de::Error::custom)?;
    Sandbox::decode(&*bytes).map_err(serde::de::Error::custom)
}

/// All sandboxes, with what finds them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    records: BTreeMap<Created, Record>,
    by_id: HashMap<String, Created>,
    by_task: HashMap<String, Created>,
    running: BTreeSet<Created>,
    /// Of those that run, by app and name.
    names: HashMap<(String, String), Created>,
}

/// Which sandboxes a list shows.
#[derive(Debug)]
pub(crate) struct Wanted<'r> {
    /// Empty: of every app.
    pub(crate) app_id: &'r str,
    /// Empty: of every environment.
    pub(crate) environment: &'r str,
    /// 0: the newest.
    pub(crate) before: f64,
    pub(crate) finished: bool,
    pub(crate) tags: &'r [SandboxTag],
}

impl Table {
    /// The moment that the next sandbox gets as its own.
    pub(crate) fn next_created(&self, now: f64) -> Created {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "microseconds of this century"
        )]
        let now = (now * 1e6) as Created;
        let last = self
            .records
            .last_key_value()
            .map_or(0, |(created, _)| *created);
        now.max(last + 1)
    }

    pub(crate) fn insert(&mut self, record: Record) {
        let created = record.created;
        self.by_id.insert(record.id.clone(), created);
        self.by_task.insert(record.task_id.clone(), created);
        if record.outcome.is_none() {
            self.running.insert(created);
            if let Some(name) = &record.name {
                self.names
                    .insert((record.app_id.clone(), name.clone()), created);
            }
        }
        self.records.insert(created, record);
    }

    /// By sandbox id, or by the id of its task.
    pub(crate) fn get(&self, id: &str) -> Option<&Record> {
        let created = self.by_id.get(id).or_else(|| self.by_task.get(id))?;
        self.records.get(created)
    }

    /// By sandbox id, or by the id of its task. Names and outcomes have functions of their own.
    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Record> {
        let created = self.by_id.get(id).or_else(|| self.by_task.get(id))?;
        self.records.get_mut(created)
    }

    /// The running sandbox of an app that has a name.
    pub(crate) fn named(&self, app_id: &str, name: &str) -> Option<&Record> {
        let created = self.names.get(&(app_id.to_owned(), name.to_owned()))?;
        self.records.get(created)
    }

    /// The newest of an app that had a name, also when it is over.
    pub(crate) fn last_named(&self, app_id: &str, name: &str) -> Option<&Record> {
        let all = self.records.values().rev();
        let had =
            |record: &&Record| record.app_id == app_id && record.name.as_deref() == Some(name);
        self.named(app_id, name)
            .or_else(|| all.into_iter().find(had))
    }

    /// Names a sandbox that runs. False when another one of its app has the name.
    pub(crate) fn name(&mut self, id: &str, name: &str) -> bool {
        let Some(created) = self.by_id.get(id).copied() else {
            return false;
        };
        let Some(record) = self.records.get_mut(&created) else {
            return false;
        };
        let key = (record.app_id.clone(), name.to_owned());
        if self
            .names
            .get(&key)
            .is_some_and(|holder| *holder != created)
        {
            return false;
        }
        if let Some(old) = record.name.replace(name.to_owned()) {
            self.names.remove(&(record.app_id.clone(), old));
        }
        self.names.insert(key, created);
        true
    }

    /// Writes down how it ended, and frees its name. The first outcome stays.
    pub(crate) fn finish(&mut self, id: &str, outcome: Outcome, now: f64) {
        let Some(created) = self.by_id.get(id).copied() else {
            return;
        };
        let running = self.records.get_mut(&created);
        let Some(record) = running.filter(|record| record.outcome.is_none()) else {
            return;
        };
        record.outcome = Some(outcome);
        record.finished_at = Some(now);
        record.tunnels.clear();
        self.running.remove(&created);
        if let Some(name) = &record.name {
            self.names.remove(&(record.app_id.clone(), name.clone()));
        }
    }

    /// How many run or wait to.
    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    /// Ids of those that run in an app.
    pub(crate) fn running_of(&self, app_id: &str) -> Vec<String> {
        let records = self
            .running
            .iter()
            .filter_map(|created| self.records.get(created));
        records
            .filter(|record| record.app_id == app_id)
            .map(|record| record.id.clone())
            .collect()
    }

    /// One page, newest first.
    pub(crate) fn page(&self, wanted: &Wanted<'_>, length: usize) -> Vec<SandboxInfo> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "microseconds of this century; anything else is an empty or a full range"
        )]
        let before = if wanted.before > 0.0 {
            (wanted.before * 1e6).round() as Created
        } else {
            Created::MAX
        };
        let shown = |record: &&Record| {
            (wanted.app_id.is_empty() || record.app_id == wanted.app_id)
                && (wanted.environment.is_empty() || record.environment == wanted.environment)
                && record.has(wanted.tags)
        };
        if wanted.finished {
            let records = self.records.range(..before).rev().map(|(_, record)| record);
            records
                .filter(shown)
                .take(length)
                .map(Record::info)
                .collect()
        } else {
            let running = self.running.range(..before).rev();
            let records = running.filter_map(|created| self.records.get(created));
            records
                .filter(shown)
                .take(length)
                .map(Record::info)
                .collect()
        }
    }

    /// After the emulator was started anew: what ran then is over.
    pub(crate) fn end_all(&mut self, now: f64) -> Vec<String> {
        let running = self
            .running
            .iter()
            .filter_map(|created| self.records.get(created));
        let ids: Vec<String> = running.map(|record| record.id.clone()).collect();
        for id in &ids {
            let reason = "the emulator was stopped while the sandbox ran";
            self.finish(
                id,
                Outcome::new(GenericStatus::Terminated, 137, reason),
                now,
            );
        }
        ids
    }
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.records.values())
    }
}

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table = Self::default();
        for record in Vec::<Record>::deserialize(deserializer)? {
            table.insert(record);
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: u64, name: Option<&str>) -> Record {
        Record {
            id: format!("sb-{n}"),
            task_id: format!("ta-{n}"),
            app_id: "ap-1".to_owned(),
            environment: "main".to_owned(),
            created: n,
            name: name.map(str::to_owned),
            tags: BTreeMap::from([("n".to_owned(), n.to_string())]),
            definition: Sandbox {
                image_id: "im-1".to_owned(),
                ..Sandbox::default()
            },
            started_at: None,
            ready_at: None,
            finished_at: None,
            outcome: None,
            exit_snapshot: None,
            tunnels: Vec::new(),
        }
    }

    fn ids(table: &Table, before: f64, finished: bool, tags: &[SandboxTag]) -> Vec<String> {
        let wanted = Wanted {
            app_id: "ap-1",
            environment: "",
            before,
            finished,
            tags,
        };
        table
            .page(&wanted, 2)
            .into_iter()
            .map(|info| info.id)
            .collect()
    }

    #[test]
    fn pages_go_from_the_newest_to_the_oldest_and_end() {
        let mut table = Table::default();
        let base = 1_795_000_000_000_000;
        (0..5).for_each(|n| table.insert(record(base + n, None)));
        let mut seen = Vec::new();
        let mut before = 0.0;
        loop {
            let wanted = Wanted {
                app_id: "",
                environment: "main",
                before,
                finished: false,
                tags: &[],
            };
            let page = table.page(&wanted, 2);
            let Some(last) = page.last() else { break };
            before = last.created_at;
            seen.extend(page.into_iter().map(|info| info.id));
        }
        let expected: Vec<String> = (0..5).rev().map(|n| format!("sb-{}", base + n)).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_has_ended_is_listed_only_on_request_and_its_name_is_free() {
        let mut table = Table::default();
        table.insert(record(1, Some("web")));
        table.insert(record(2, None));
        assert!(!table.name("sb-2", "web"));
        table.finish("sb-1", Outcome::new(GenericStatus::Success, 0, ""), 3.0);
        table.finish("sb-1", Outcome::new(GenericStatus::Failure, 1, ""), 4.0);
        assert_eq!(table.get("ta-1").unwrap().result().unwrap().status, 1);
        assert_eq!(ids(&table, 0.0, false, &[]), ["sb-2"]);
        assert_eq!(ids(&table, 0.0, true, &[]), ["sb-2", "sb-1"]);
        assert!(table.named("ap-1", "web").is_none());
        assert_eq!(table.last_named("ap-1", "web").unwrap().id, "sb-1");
        assert!(table.name("sb-2", "web"));
        assert_eq!(table.named("ap-1", "web").unwrap().id, "sb-2");
        let tag = SandboxTag {
            tag_name: "n".to_owned(),
            tag_value: "1".to_owned(),
        };
        assert_eq!(ids(&table, 0.0, true, &[tag]), ["sb-1"]);
    }

    #[test]
    fn what_ran_when_the_emulator_was_stopped_is_terminated() {
        let mut table = Table::default();
        table.insert(record(1, Some("web")));
        let text = serde_json::to_string(&table).unwrap();
        let mut table: Table = serde_json::from_str(&text).unwrap();
        assert_eq!(
            table.named("ap-1", "web").unwrap().definition.image_id,
            "im-1"
        );
        assert_eq!(table.end_all(5.0), ["sb-1"]);
        let result = table.get("sb-1").unwrap().result().unwrap();
        assert_eq!(
            (result.status(), result.exitcode),
            (GenericStatus::Terminated, 137)
        );
        assert_eq!(table.running(), 0);
    }
}
