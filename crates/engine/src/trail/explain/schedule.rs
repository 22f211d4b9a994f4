//! Why a schedule starts something, or does not.

use jiff::Timestamp;
use moorline_api::{ApiError, Explanation, Fact, Point};
use moorline_core::error_code::{ErrorCode, SourceState};
use moorline_core::gate::GateState;
use moorline_core::schedule::times::Timing;
use moorline_core::schedule::{Schedule, ScheduleId, ScheduleIdError, ScheduleState};
use moorline_store::AuditFilter;

use super::audited;
use crate::engine::Inner;
use crate::error::store_error;

/// How many of its next times are told.
const NEXT: usize = 3;
/// How many of the newest changes are told.
const CHANGES: u32 = 5;

impl Inner {
    pub(in crate::trail) async fn explain_schedule(
        &self,
        text: &str,
    ) -> Result<Explanation, ApiError> {
        let id: ScheduleId = text.parse().map_err(|error: ScheduleIdError| {
            ApiError::new(ErrorCode::Usage, error.to_string())
                .hint("`moorline schedule list` shows them")
        })?;
        let schedule = self.schedule(&id).await?;
        let report = self.store.gates_get(id.lane(), id.job_id()).await;
        let report = report.map_err(store_error)?;
        let mut points = vec![self.state_of(&schedule).await?];
        let held = self.what_holds(&schedule).await?;
        let waits = !held.is_empty();
        points.extend(held);
        points.extend(report.gates.iter().map(gate));
        points.push(self.times_of(&schedule)?);
        points.extend(schedule.last_run.map(|run| {
            Point::new(
                "last run",
                format!("run {run} is the newest that it started"),
            )
            .hint(format!("`moorline explain run {run}`"))
        }));
        let missing = report.gates.iter().filter(|gate| !gate.met).count();
        Ok(Explanation {
            subject: format!("schedule/{id}"),
            summary: summary(&schedule, missing, waits),
            since: Some(schedule.since),
            points,
        })
    }

    /// The state, who brought it there, and the changes that led to it.
    async fn state_of(&self, schedule: &Schedule) -> Result<Point, ApiError> {
        let filter = AuditFilter {
            subject: Some(format!("schedule/{}", schedule.id)),
            limit: CHANGES,
            ..AuditFilter::default()
        };
        let records = self.store.audit_search(filter).await.map_err(store_error)?;
        let says = format!("{} by {}: {}", schedule.state, schedule.by, schedule.reason);
        let point = Point::new("state", says)
            .by_rule(rule_of(schedule))
            .that_holds(schedule.state == ScheduleState::Enabled)
            .since(Some(schedule.since))
            .resting_on(records.iter().map(audited));
        let id = &schedule.id;
        Ok(match schedule.state {
            ScheduleState::Enabled => point,
            ScheduleState::Paused => point.hint(format!(
                "a person lets it go on: `moorline schedule resume {id}`"
            )),
            ScheduleState::Disabled => point.hint(format!(
                "once every gate is met a person enables it: `moorline schedule enable {id}`"
            )),
        })
    }

    /// What keeps it from starting anything, whatever its state: stops, its source, its lane, its end.
    async fn what_holds(&self, schedule: &Schedule) -> Result<Vec<Point>, ApiError> {
        let mut points = Vec::new();
        let stops = self.store.stops_list().await.map_err(store_error)?;
        for stop in stops.iter().filter(|stop| schedule.covered_by(&stop.scope)) {
            points.push(
                Point::new("stop", stop.to_string())
                    .by_rule("D-STOP-1")
                    .that_holds(false)
                    .since(Some(stop.since))
                    .hint(format!("`moorline release {}` lifts it", stop.scope)),
            );
        }
        if let Some(source_id) = &schedule.source_id {
            points.extend(self.source_that_holds(source_id).await?);
        }
        let lane = schedule.id.lane();
        if !self.lane_settings(lane)?.rules.schedules {
            let says = format!("the lane `{lane}` permits no schedules");
            points.push(
                Point::new("lane", says)
                    .by_rule("D-SCHED-3")
                    .that_holds(false),
            );
        }
        if let Some(end) = schedule.document.ends_at
            && end <= self.now()
        {
            points.push(
                Point::new("end", format!("it ended at {end}"))
                    .by_rule("D-SCHED-3")
                    .that_holds(false)
                    .since(Some(end)),
            );
        }
        Ok(points)
    }

    async fn source_that_holds(&self, source_id: &str) -> Result<Option<Point>, ApiError> {
        let source = self.store.source_get(source_id).await;
        let Some(source) = source.map_err(store_error)? else {
            return Ok(None);
        };
        if source.state == SourceState::Active {
            return Ok(None);
        }
        let why = source.reason.as_deref().unwrap_or("no reason was given");
        let state = source.state;
        let says = format!("the source {source_id} is {state}: {why}");
        let fact = source.run_id.map(|run| Fact {
            source: format!("run/{run}"),
            at: Some(source.updated_at),
            by: Some(source.by.to_string()),
            says: format!("made the source {state}"),
        });
        let hint = if state == SourceState::NeedsReauth {
            format!("`moorline sources reauth {source_id}`")
        } else {
            format!("`moorline sources resume {source_id}` once it may be read again")
        };
        Ok(Some(
            Point::new("source", says)
                .by_rule("D-RUN-7")
                .that_holds(false)
                .since(Some(source.updated_at))
                .resting_on(fact)
                .hint(hint),
        ))
    }

    /// When it is due next, whether it is enabled or not.
    fn times_of(&self, schedule: &Schedule) -> Result<Point, ApiError> {
        let timing = Timing::of(&schedule.document, schedule.anchor)?;
        let mut after = self.now();
        let mut times: Vec<Timestamp> = Vec::new();
        while times.len() < NEXT
            && let Some(time) = timing.next_after(after)
        {
            times.push(time);
            after = time;
        }
        let listed: Vec<String> = times.iter().map(ToString::to_string).collect();
        let says = match (schedule.next_at, listed.is_empty()) {
            (_, true) => "it has no more times".to_owned(),
            (Some(due), false) => format!("due at {due}; its times are {}", listed.join(", ")),
            (None, false) => format!("not due; its times would be {}", listed.join(", ")),
        };
        Ok(Point::new("times", says).by_rule("D-SCHED-3"))
    }
}

/// The rule behind the state: a person's act passes the gates, Moorline's own follows from a failure.
const fn rule_of(schedule: &Schedule) -> &'static str {
    match (schedule.state, schedule.by.is_human()) {
        (ScheduleState::Enabled, _) | (ScheduleState::Disabled, true) => "D-SCHED-2",
        (ScheduleState::Paused | ScheduleState::Disabled, _) => "D-RUN-7",
    }
}

/// A gate as a reason.
pub(super) fn gate(state: &GateState) -> Point {
    let point = Point::new("gate", format!("{}: {}", state.gate, state.why))
        .by_rule("D-SCHED-2")
        .that_holds(state.met)
        .since(state.evidence.as_ref().map(|evidence| evidence.at))
        .resting_on(state.evidence.as_ref().map(|evidence| Fact {
            source: format!("evidence/{}", evidence.id),
            at: Some(evidence.at),
            by: Some(evidence.by.to_string()),
            says: evidence.detail.to_string(),
        }));
    match &state.hint {
        Some(hint) => point.hint(hint),
        None => point,
    }
}

fn summary(schedule: &Schedule, missing: usize, held: bool) -> String {
    let id = &schedule.id;
    match schedule.state {
        ScheduleState::Enabled if held => {
            format!("the schedule {id} is enabled, and something keeps it from starting anything")
        }
        ScheduleState::Enabled => match schedule.next_at {
            Some(due) => format!("the schedule {id} is enabled and due at {due}"),
            None => format!("the schedule {id} is enabled and has no more times"),
        },
        ScheduleState::Paused => format!(
            "the schedule {id} is paused and starts nothing: {}",
            schedule.reason
        ),
        ScheduleState::Disabled => format!(
            "the schedule {id} is disabled and starts nothing: {}; {missing} of 5 gates are missing",
            schedule.reason
        ),
    }
}
