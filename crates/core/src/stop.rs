//! Stops (D-STOP): durable gates that are read in the transaction of every claim.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::RunId;
use crate::run::Run;
use crate::schedule::ScheduleId;

/// What a stop covers. Text form: `all`, `job:<id>`, `source:<id>`, `schedule:<lane>/<job>`, `lane:<name>`,
/// `run:<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StopScope {
    /// Everything.
    All,
    /// Every run of a job.
    Job(String),
    /// Every run that reads a source.
    Source(String),
    /// Every run that a schedule started, and its next starts.
    Schedule(ScheduleId),
    /// Every run of a lane.
    Lane(String),
    /// One run.
    Run(RunId),
}

impl StopScope {
    /// Whether a run is covered.
    pub fn covers(&self, run: &Run) -> bool {
        match self {
            Self::All => true,
            Self::Job(job) => run.job_id == *job,
            Self::Source(source) => run.source_id.as_deref() == Some(source),
            Self::Schedule(id) => run.schedule.as_ref().is_some_and(|s| s.schedule == *id),
            Self::Lane(lane) => run.lane.to_string() == *lane,
            Self::Run(id) => run.id == *id,
        }
    }

    /// Whether a schedule is covered: it may neither start anything nor be enabled meanwhile.
    ///
    /// `source` is the one that the schedule's runs count for. A stop of one run covers no schedule.
    pub fn covers_schedule(&self, schedule: &ScheduleId, source: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Job(job) => schedule.job_id() == job,
            Self::Source(stopped) => source == Some(stopped),
            Self::Schedule(id) => schedule == id,
            Self::Lane(lane) => schedule.lane().as_str() == lane,
            Self::Run(_) => false,
        }
    }
}

impl fmt::Display for StopScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Job(job) => write!(f, "job:{job}"),
            Self::Source(source) => write!(f, "source:{source}"),
            Self::Schedule(id) => write!(f, "schedule:{id}"),
            Self::Lane(lane) => write!(f, "lane:{lane}"),
            Self::Run(run) => write!(f, "run:{run}"),
        }
    }
}

/// The text names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a stop scope: use `all`, `job:<id>`, `source:<id>`, `schedule:<lane>/<job>`, `lane:<name>` or \
     `run:<id>` (D-STOP-1)"
)]
pub struct ScopeError {
    text: String,
}

impl FromStr for StopScope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let error = || ScopeError {
            text: text.to_owned(),
        };
        match text.split_once(':') {
            None if text == "all" => Ok(Self::All),
            Some((_, "")) | None => Err(error()),
            Some(("job", id)) => Ok(Self::Job(id.to_owned())),
            Some(("source", id)) => Ok(Self::Source(id.to_owned())),
            Some(("schedule", id)) => id.parse().map(Self::Schedule).map_err(|_| error()),
            Some(("lane", name)) => Ok(Self::Lane(name.to_owned())),
            Some(("run", id)) => id.parse().map(Self::Run).map_err(|_| error()),
            Some(_) => Err(error()),
        }
    }
}

impl Serialize for StopScope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StopScope {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for StopScope {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StopScope".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^(all|(job|source|schedule|lane|run):.+)$"})
    }
}

/// A stop in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stop {
    /// What it covers.
    pub scope: StopScope,
    /// Who engaged it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a stop of {} is in force since {} ({}: {})",
            self.scope, self.since, self.actor, self.reason
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_covers_the_schedules_whose_runs_it_would_cover() {
        let schedule: ScheduleId = "prod/bank".parse().unwrap();
        let covering = |source| {
            let scopes = [
                "all",
                "job:bank",
                "job:other",
                "source:chase",
                "schedule:prod/bank",
                "schedule:dev/bank",
                "lane:prod",
                "lane:dev",
                "run:01900000-0000-7000-8000-000000000001",
            ];
            let covers = |text: &&str| {
                text.parse::<StopScope>()
                    .unwrap()
                    .covers_schedule(&schedule, source)
            };
            scopes.into_iter().filter(covers).collect::<Vec<_>>()
        };
        let always = ["all", "job:bank", "schedule:prod/bank", "lane:prod"];
        assert_eq!(covering(None), always);
        assert_eq!(covering(Some("amex")), always);
        let with_source = [
            "all",
            "job:bank",
            "source:chase",
            "schedule:prod/bank",
            "lane:prod",
        ];
        assert_eq!(covering(Some("chase")), with_source);
    }

    #[test]
    fn scopes_round_trip_and_odd_ones_are_refused() {
        for text in [
            "all",
            "job:a",
            "source:chase",
            "schedule:prod/bank-statement",
            "lane:prod",
            "run:01900000-0000-7000-8000-000000000001",
        ] {
            assert_eq!(text.parse::<StopScope>().unwrap().to_string(), text);
        }
        for text in ["", "everything", "job:", "run:x", "pod:1"] {
            text.parse::<StopScope>().unwrap_err();
        }
    }
}
