//! Why a run came out as it did.

use moorline_api::{ApiError, Explanation, Fact, Point};
use moorline_core::error_code::{FailureClass, FailureRule, RetryRule, RunStatus};
use moorline_core::event::{Event, EventKind};
use moorline_core::run::{Failure, Run, StepRun, Trigger};
use moorline_store::{ArtifactFilter, AuditFilter, EventFilter};

use super::{audited, decided};
use crate::engine::Inner;
use crate::error::store_error;

/// Most events of a run that are looked at.
const EVENTS: u32 = 1_000;

impl Inner {
    pub(in crate::trail) async fn explain_run(&self, text: &str) -> Result<Explanation, ApiError> {
        let id = self.find(text).await?;
        let run = self.must_get(id).await?;
        let filter = EventFilter {
            run_id: Some(id),
            limit: EVENTS,
            newest: true,
            ..EventFilter::default()
        };
        let events = self.store.events_list(filter).await.map_err(store_error)?;
        let mut points = vec![outcome(&run, &events)];
        points.extend(
            run.failure
                .as_ref()
                .map(|failure| retries(&run, failure, &events)),
        );
        points.extend(self.explain_gates(&run).await?);
        points.extend(effects(&run, &events));
        points.extend(self.ended_by(&run).await?);
        points.extend(self.stops_that_cover(&run).await?);
        points.push(self.origin(&run).await?);
        points.extend(self.artifact_of_run(&run).await?);
        Ok(Explanation {
            subject: format!("run/{id}"),
            summary: summary(&run),
            since: run.ended_at.or(run.started_at).or(Some(run.created_at)),
            points,
        })
    }

    /// Who ended it, where someone did.
    async fn ended_by(&self, run: &Run) -> Result<Option<Point>, ApiError> {
        let Some(wish) = &run.cancel else {
            return Ok(None);
        };
        let says = format!("{} asked for its end: {}", wish.actor, wish.reason);
        let filter = AuditFilter {
            subject: Some(format!("run/{}", run.id)),
            operation: Some("run.cancel".to_owned()),
            ..AuditFilter::default()
        };
        let records = self.store.audit_search(filter).await.map_err(store_error)?;
        Ok(Some(
            Point::new("ended by", says)
                .by_rule("D-RUN-7")
                .since(Some(wish.at))
                .resting_on(records.iter().map(audited)),
        ))
    }

    /// Stops that would keep it from starting at present.
    async fn stops_that_cover(&self, run: &Run) -> Result<Vec<Point>, ApiError> {
        let stops = self.store.stops_list().await.map_err(store_error)?;
        let covering = stops.iter().filter(|stop| stop.scope.covers(run));
        Ok(covering
            .map(|stop| {
                Point::new("stop", stop.to_string())
                    .by_rule("D-STOP-1")
                    .that_holds(false)
                    .since(Some(stop.since))
                    .hint(format!(
                        "`moorline release {} --reason …` lifts it",
                        stop.scope
                    ))
            })
            .collect())
    }

    /// What asked for it, and what it ran.
    async fn origin(&self, run: &Run) -> Result<Point, ApiError> {
        let says = match (run.trigger, &run.schedule, run.retry_of) {
            (_, Some(start), _) => format!(
                "the schedule {} started it for {}",
                start.schedule, start.fire_at
            ),
            (Trigger::Retry, None, Some(old)) => {
                format!("{} ran again what run {old} ran", run.actor)
            }
            _ => format!("{} started it", run.actor),
        };
        let filter = AuditFilter {
            subject: Some(format!("run/{}", run.id)),
            ..AuditFilter::default()
        };
        let records = self.store.audit_search(filter).await.map_err(store_error)?;
        // The oldest record of a run is that of its submission, whatever asked for it.
        Ok(Point::new("origin", says)
            .by_rule("D-RUN-1")
            .since(Some(run.created_at))
            .resting_on(records.last().map(audited)))
    }

    /// The artifact that it ran: who approved it, and who pointed its lane to it. None for a run of a
    /// directory that was never submitted, as people run them in dev.
    async fn artifact_of_run(&self, run: &Run) -> Result<Vec<Point>, ApiError> {
        let filter = ArtifactFilter {
            job_id: Some(run.job_id.clone()),
            content: Some(run.artifact_hash),
            limit: 1,
            ..ArtifactFilter::default()
        };
        let found = self
            .store
            .artifacts_list(filter)
            .await
            .map_err(store_error)?;
        let Some(artifact) = found.first() else {
            let says = format!(
                "it ran {}, which was never submitted for review",
                run.artifact_hash
            );
            return Ok(vec![Point::new("artifact", says).by_rule("D-ART-4")]);
        };
        let says = format!(
            "it ran artifact {}, which is {}",
            artifact.id, artifact.state
        );
        let mut points = vec![
            Point::new("artifact", says)
                .by_rule("D-ART-4")
                .since(Some(artifact.submitted_at))
                .resting_on(artifact.decisions.iter().map(decided)),
        ];
        let pointed = self
            .store
            .promotions_list(Some(&run.lane), &run.job_id)
            .await;
        let pointed = pointed.map_err(store_error)?;
        let then = pointed
            .iter()
            .rev()
            .find(|promotion| promotion.at <= run.created_at);
        if let Some(promotion) = then.filter(|promotion| promotion.content == run.artifact_hash) {
            let says = format!("the lane {} pointed to it", run.lane);
            points.push(
                Point::new("promotion", says)
                    .by_rule("D-ART-3")
                    .since(Some(promotion.at))
                    .resting_on([Fact {
                        source: format!("promotion/{}", promotion.id),
                        at: Some(promotion.at),
                        by: Some(promotion.by.to_string()),
                        says: promotion.reason.clone(),
                    }]),
            );
        }
        Ok(points)
    }
}

fn summary(run: &Run) -> String {
    let what = format!("run {} of {} in {}", run.id, run.job_id, run.lane);
    match (&run.failure, run.status) {
        (Some(failure), status) => format!("{what} is {status}: {}", failure.reason),
        (None, RunStatus::Queued) => match run.due_at {
            Some(due) => format!("{what} waits for its start, due since {due}"),
            None => format!("{what} waits for its start"),
        },
        (None, RunStatus::AwaitingApproval) => {
            let at = run.flow.as_ref().map_or("a gate", |flow| flow.at.as_str());
            format!("{what} waits for a decision at `{at}`")
        }
        (None, status) => format!("{what} is {status}"),
    }
}

/// The class of the failure and its row in the matrix, or what success rests on.
fn outcome(run: &Run, events: &[Event]) -> Point {
    let Some(failure) = &run.failure else {
        let done = run.steps.iter().filter(|step| step.done).count();
        let says = format!(
            "{done} of {} steps done, {} attempts",
            run.steps.len(),
            run.attempts
        );
        return Point::new("outcome", says)
            .by_rule("D-RUN-2")
            .since(run.ended_at)
            .resting_on(facts(events, &[EventKind::StepDone, EventKind::RunEnded]));
    };
    let step = failure.step.as_deref().unwrap_or("none");
    let says = format!(
        "a failure of class `{}` ({}) at step `{step}`: {}",
        failure.class, failure.code, failure.reason
    );
    Point::new("outcome", says)
        .by_rule("D-RUN-7")
        .since(run.ended_at)
        .resting_on(facts(
            events,
            &[EventKind::AttemptEnded, EventKind::RunEnded],
        ))
        .hint(failure.code.info().hint)
}

/// How often it was tried, and why no more.
fn retries(run: &Run, failure: &Failure, events: &[Event]) -> Point {
    let step = failure
        .step
        .as_deref()
        .and_then(|name| run.steps.iter().find(|step| step.name == name));
    let tried = step.map_or(run.attempts, |step| step.attempts);
    let why = why_no_more(failure.class, step, run);
    Point::new("retries", format!("{tried} attempts: {why}"))
        .by_rule("D-RUN-4")
        .resting_on(facts(events, &[EventKind::RetryScheduled]))
}

fn why_no_more(class: FailureClass, step: Option<&StepRun>, run: &Run) -> String {
    if run.cancel.is_some() {
        return "its end was asked for".to_owned();
    }
    match (class.rule().retry, step) {
        (RetryRule::Never, _) => format!("a failure of class `{class}` is never tried again"),
        (RetryRule::IfResumable, Some(step)) if !step.idempotent => {
            "only a step that is declared idempotent is tried again after it".to_owned()
        }
        (_, Some(step)) if !step.retries.on.contains(&class) => {
            format!("the job has no retries after a failure of class `{class}`")
        }
        (_, Some(step)) if step.retries.max == 0 => "the job has no retries".to_owned(),
        (_, Some(step)) if step.attempts > step.retries.max => {
            format!("all {} retries are spent", step.retries.max)
        }
        (_, Some(_)) if run.due_at.is_some() => "another one is due".to_owned(),
        _ => "nothing more was to be tried".to_owned(),
    }
}

/// What followed for source, schedule and people, by the failure matrix.
fn effects(run: &Run, events: &[Event]) -> Vec<Point> {
    let Some(failure) = &run.failure else {
        let changes = facts(events, &[EventKind::SourceChanged]);
        return if changes.is_empty() {
            Vec::new()
        } else {
            vec![
                Point::new("source", "its success changed the source")
                    .by_rule("D-RUN-7")
                    .resting_on(changes),
            ]
        };
    };
    let rule: &FailureRule = failure.class.rule();
    let asked =
        |what: &str, effect: &str| format!("class `{}` asks for {what} `{effect}`", failure.class);
    let name = |value: serde_json::Value| value.as_str().unwrap_or("unchanged").to_owned();
    let source = serde_json::to_value(rule.source)
        .map(name)
        .unwrap_or_default();
    let schedule = serde_json::to_value(rule.schedule)
        .map(name)
        .unwrap_or_default();
    let outputs = serde_json::to_value(rule.outputs)
        .map(name)
        .unwrap_or_default();
    let mut points = Vec::new();
    if run.source_id.is_some() {
        points.push(
            Point::new("source", asked("the source to be", &source))
                .by_rule("D-RUN-7")
                .resting_on(facts(events, &[EventKind::SourceChanged])),
        );
    }
    points.push(
        Point::new("schedule", asked("the schedule to be", &schedule))
            .by_rule("D-RUN-7")
            .resting_on(facts(events, &[EventKind::ScheduleChanged])),
    );
    points.push(
        Point::new("outputs", asked("outputs to be", &outputs))
            .by_rule("D-RUN-7")
            .resting_on(facts(events, &[EventKind::ExportPublished])),
    );
    let alerts = facts(events, &[EventKind::AlertRaised]);
    let says = if alerts.is_empty() {
        "nobody was alerted"
    } else {
        "people were alerted"
    };
    points.push(
        Point::new("alert", says)
            .by_rule("D-RUN-7")
            .resting_on(alerts),
    );
    points
}

/// Events of some kinds as facts, oldest first.
fn facts(events: &[Event], kinds: &[EventKind]) -> Vec<Fact> {
    events
        .iter()
        .filter(|event| event.kind.is_one_of(kinds))
        .map(|event| Fact {
            source: format!("event/{}", event.id),
            at: Some(event.at),
            by: None,
            says: format!("{} {}", event.kind.as_str(), event.data),
        })
        .collect()
}
