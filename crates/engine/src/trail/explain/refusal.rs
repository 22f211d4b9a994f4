//! Why an operation was refused, and how it stands now.

use moorline_api::{ApiError, Explanation, Fact, Point};
use moorline_core::error_code::ErrorCode;
use moorline_core::ids::ArtifactId;
use moorline_core::refusal::RefusalRecord;
use moorline_core::schedule::ScheduleId;

use crate::beginning::{is_beginning, only};
use crate::engine::Inner;
use crate::error::store_error;

impl Inner {
    pub(in crate::trail) async fn explain_refusal(
        &self,
        text: &str,
    ) -> Result<Explanation, ApiError> {
        let refusal = self.find_refusal(text).await?;
        let mut points = Vec::new();
        for rule in &refusal.rules {
            let said = refusal.details.iter().any(|detail| detail.rule == *rule);
            if !said {
                points.push(
                    Point::new("rule", refusal.message.clone())
                        .by_rule(rule)
                        .since(Some(refusal.at))
                        .resting_on([asked(&refusal)]),
                );
            }
        }
        for detail in &refusal.details {
            let says = if detail.at.is_empty() {
                detail.message.clone()
            } else {
                format!("{}: {}", detail.at, detail.message)
            };
            let point = Point::new("missing then", says)
                .by_rule(&detail.rule)
                .since(Some(refusal.at));
            points.push(match &detail.hint {
                Some(hint) => point.hint(hint),
                None => point,
            });
        }
        points.extend(self.stands_now(&refusal).await?);
        let hint = refusal.hint.clone();
        if let (Some(first), Some(hint)) = (points.first_mut(), hint)
            && first.hint.is_none()
        {
            first.hint = Some(hint);
        }
        Ok(Explanation {
            subject: format!("refusal/{}", refusal.id),
            summary: format!(
                "{} was refused `{}` on {}: {}",
                refusal.actor, refusal.operation, refusal.subject, refusal.message
            ),
            since: Some(refusal.at),
            points,
        })
    }

    async fn find_refusal(&self, text: &str) -> Result<RefusalRecord, ApiError> {
        let missing = || {
            let message = format!("no refusal `{}`", text.escape_default());
            let hint = "the error names its id; the newest 10000 of the last 30 days are kept, and \
                        `latest` is the newest";
            ApiError::new(ErrorCode::NotFound, message).hint(hint)
        };
        if text == "latest" {
            let newest = self.store.refusals_list(1).await.map_err(store_error)?;
            return newest.into_iter().next().ok_or_else(missing);
        }
        let found = if is_beginning(text) {
            self.store.refusal_find(text).await.map_err(store_error)?
        } else {
            Vec::new()
        };
        only(found, text, "refusals", missing)
    }

    /// How it stands at present, where that can be told: the stops in force, the gates of a schedule, the
    /// state of an artifact.
    async fn stands_now(&self, refusal: &RefusalRecord) -> Result<Vec<Point>, ApiError> {
        let mut points = Vec::new();
        if refusal.code == ErrorCode::StopInForce {
            let stops = self.store.stops_list().await.map_err(store_error)?;
            points.extend(stops.iter().map(|stop| {
                Point::new("now", stop.to_string())
                    .by_rule("D-STOP-1")
                    .that_holds(false)
                    .since(Some(stop.since))
                    .hint(format!("`moorline release {}` lifts it", stop.scope))
            }));
            if points.is_empty() {
                points.push(Point::new("now", "no stop is in force any more").that_holds(true));
            }
        }
        match refusal.subject.split_once('/') {
            Some(("schedule", schedule)) => points.extend(self.schedule_now(schedule).await?),
            Some(("artifact", artifact)) => points.extend(self.artifact_now(artifact).await?),
            _ => {}
        }
        Ok(points)
    }

    async fn schedule_now(&self, schedule: &str) -> Result<Vec<Point>, ApiError> {
        let Ok(id) = schedule.parse::<ScheduleId>() else {
            return Ok(Vec::new());
        };
        let report = self.store.gates_get(id.lane(), id.job_id()).await;
        let report = report.map_err(store_error)?;
        let mut points: Vec<Point> = report.gates.iter().map(super::schedule::gate).collect();
        for point in &mut points {
            "gate now".clone_into(&mut point.topic);
        }
        points.extend(report.schedule.map(|schedule| {
            let says = format!("the schedule is {}: {}", schedule.state, schedule.reason);
            Point::new("now", says).since(Some(schedule.since))
        }));
        Ok(points)
    }

    async fn artifact_now(&self, artifact: &str) -> Result<Option<Point>, ApiError> {
        let Ok(id) = artifact.parse::<ArtifactId>() else {
            return Ok(None);
        };
        let artifact = self.store.artifact_get(id).await.map_err(store_error)?;
        Ok(artifact.map(|artifact| {
            let newest = artifact.decisions.last();
            let says = format!("the artifact is {}", artifact.state);
            Point::new("now", says)
                .by_rule("D-ART-3")
                .since(newest.map_or(Some(artifact.submitted_at), |decision| Some(decision.at)))
                .resting_on(artifact.decisions.iter().map(super::decided))
        }))
    }
}

fn asked(refusal: &RefusalRecord) -> Fact {
    Fact {
        source: format!("refusal/{}", refusal.id),
        at: Some(refusal.at),
        by: Some(refusal.actor.clone()),
        says: format!("asked for `{}` on {}", refusal.operation, refusal.subject),
    }
}
