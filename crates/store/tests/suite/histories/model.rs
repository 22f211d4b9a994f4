//! What a store is, without the storing: `apply` on a map, and what follows from its effects.

use std::collections::BTreeMap;

use jiff::Timestamp;
use moorline_core::attempt::Handle;
use moorline_core::content_id::ContentId;
use moorline_core::error_code::{AlertLevel, FailureClass, SourceState};
use moorline_core::event::EventKind;
use moorline_core::ids::{AttemptId, DriverId, RunId};
use moorline_core::run::{Applied, CancelKind, Command, Effect, Refusal, Run, apply};
use moorline_core::stop::{Stop, StopScope};
use moorline_core::summary::RunSummary;
use moorline_store::{CancelRun, ClaimDue, FinishAttempt, NewRun, StoreError};

/// Runs, or why there are none.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Runs(Vec<Run>),
    Refused(Refusal),
    Conflict,
    Stopped,
}

/// A store's answer. Other errors do not belong into a history.
pub(crate) fn answer(found: Result<Vec<Run>, StoreError>) -> Answer {
    match found {
        Ok(runs) => Answer::Runs(runs),
        Err(StoreError::Refused(refusal)) => Answer::Refused(refusal),
        Err(StoreError::Conflict { .. }) => Answer::Conflict,
        Err(StoreError::Stopped { .. }) => Answer::Stopped,
        Err(error) => panic!("{error:?}"),
    }
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    runs: BTreeMap<RunId, Run>,
    keys: BTreeMap<String, (ContentId, RunId)>,
    stops: Vec<Stop>,
    pub(crate) events: Vec<(Option<RunId>, EventKind)>,
    pub(crate) summaries: BTreeMap<RunId, RunSummary>,
    pub(crate) sources: BTreeMap<String, SourceState>,
    /// Keys of open alerts, oldest first. No history is as long as the time that an alert stays open.
    alerts: Vec<(String, AlertLevel)>,
    pub(crate) outbox: Vec<(RunId, Effect)>,
}

impl Model {
    /// In the order of submission, which is that of the ids.
    pub(crate) fn run_ids(&self) -> Vec<RunId> {
        self.runs.keys().copied().collect()
    }

    pub(crate) fn run(&self, id: RunId) -> &Run {
        &self.runs[&id]
    }

    pub(crate) fn runs(&self) -> impl DoubleEndedIterator<Item = &Run> {
        self.runs.values()
    }

    /// Oldest first, as a store lists them.
    pub(crate) fn stops(&self) -> Vec<Stop> {
        let mut stops = self.stops.clone();
        stops.sort_by_key(|stop| (stop.since, stop.scope.to_string()));
        stops
    }

    fn stopped(&self, run: &Run) -> bool {
        self.stops.iter().any(|stop| stop.scope.covers(run))
    }

    pub(crate) fn submit(&mut self, new: &NewRun) -> Answer {
        if let Some((fingerprint, id)) = new
            .idempotency_key
            .as_ref()
            .and_then(|key| self.keys.get(key))
        {
            let same = *fingerprint == new.fingerprint;
            return if same {
                Answer::Runs(vec![self.run(*id).clone()])
            } else {
                Answer::Conflict
            };
        }
        if self.stopped(&new.run) {
            return Answer::Stopped;
        }
        let id = new.run.id;
        if let Some(key) = &new.idempotency_key {
            self.keys.insert(key.clone(), (new.fingerprint, id));
        }
        self.runs.insert(id, new.run.clone());
        self.events.push((Some(id), EventKind::RunQueued));
        if let Some((driver, attempt_id, _)) = new.claim {
            let command = Command::Claim { attempt_id, driver };
            drop(self.command(id, command, new.run.created_at));
        }
        Answer::Runs(vec![self.run(id).clone()])
    }

    pub(crate) fn claim(&mut self, claim: &ClaimDue) -> Answer {
        let due = self.runs.values().filter(|run| {
            run.due_at.is_some_and(|due| due <= claim.now)
                && claim.only.is_none_or(|only| run.id == only)
                && !self.stopped(run)
        });
        let mut due: Vec<_> = due.map(|run| (run.due_at, run.id)).collect();
        due.sort_unstable();
        let mut claimed = Vec::new();
        for ((_, id), attempt_id) in due.into_iter().zip(&claim.attempt_ids) {
            let command = Command::Claim {
                attempt_id: *attempt_id,
                driver: claim.driver,
            };
            claimed.push(self.command(id, command, claim.now).unwrap());
        }
        Answer::Runs(claimed)
    }

    pub(crate) fn launch(
        &mut self,
        id: RunId,
        token: u64,
        handle: Handle,
        now: Timestamp,
    ) -> Answer {
        one(self.command(id, Command::Launched { token, handle }, now))
    }

    pub(crate) fn take_over(
        &mut self,
        id: RunId,
        attempt_id: AttemptId,
        driver: DriverId,
        now: Timestamp,
    ) -> Answer {
        one(self.command(id, Command::TakeOver { attempt_id, driver }, now))
    }

    pub(crate) fn finish(&mut self, finish: &FinishAttempt) -> Answer {
        let command = Command::Finish {
            token: finish.token,
            verdict: finish.verdict.clone(),
            usage: finish.usage,
            isolation: finish.isolation.clone(),
            exit_code: finish.exit_code,
        };
        let ended = match self.command(finish.run, command, finish.now) {
            Ok(run) => run,
            Err(refusal) => return Answer::Refused(refusal),
        };
        let Some((driver, attempt_id, _)) = finish.claim_next else {
            return Answer::Runs(vec![ended]);
        };
        if self.stopped(&ended) {
            return Answer::Runs(vec![ended]);
        }
        let command = Command::Claim { attempt_id, driver };
        let next = self.command(finish.run, command, finish.now);
        Answer::Runs(vec![next.unwrap_or(ended)])
    }

    pub(crate) fn cancel(&mut self, cancel: &CancelRun) -> Answer {
        let command = Command::Cancel {
            kind: cancel.kind,
            actor: cancel.actor.clone(),
            reason: cancel.reason.clone(),
        };
        one(self.command(cancel.run, command, cancel.now))
    }

    pub(crate) fn engage(&mut self, stop: &Stop) -> Answer {
        if !self.stops.iter().any(|known| known.scope == stop.scope) {
            self.stops.push(stop.clone());
            self.events.push((None, EventKind::StopEngaged));
        }
        let mut live = Vec::new();
        for id in self.run_ids() {
            if self.run(id).status.is_terminal() || !stop.scope.covers(self.run(id)) {
                continue;
            }
            let command = Command::Cancel {
                kind: CancelKind::Killed,
                actor: stop.actor.clone(),
                reason: stop.reason.clone(),
            };
            let run = self.command(id, command, stop.since).unwrap();
            live.extend(run.attempt.is_some().then_some(run));
        }
        Answer::Runs(live)
    }

    pub(crate) fn release(&mut self, scope: &StopScope) -> bool {
        let before = self.stops.len();
        self.stops.retain(|stop| stop.scope != *scope);
        let released = self.stops.len() < before;
        if released {
            self.events.push((None, EventKind::StopReleased));
        }
        released
    }

    fn command(&mut self, id: RunId, command: Command, now: Timestamp) -> Result<Run, Refusal> {
        let Applied {
            run,
            events,
            effects,
            approvals: _,
        } = apply(self.run(id), command, now)?;
        self.events
            .extend(events.iter().map(|event| (Some(id), event.kind)));
        for effect in &effects {
            if let (Effect::Source { class }, None) = (effect, &run.source_id)
                && class.is_none()
            {
                self.close_alerts(&run);
            }
            if let (Effect::Source { class }, Some(source)) = (effect, &run.source_id) {
                let from = self.sources.get(source).copied().unwrap_or_default();
                let to =
                    class.map_or_else(|| from.recovered(), |class| from.apply(class.rule().source));
                self.sources.insert(source.clone(), to);
                if from != to {
                    self.events.push((Some(id), EventKind::SourceChanged));
                }
                if class.is_none() && to == SourceState::Active {
                    self.close_alerts(&run);
                }
            }
        }
        let source = run
            .source_id
            .as_ref()
            .and_then(|source| self.sources.get(source))
            .copied();
        for effect in effects {
            match effect {
                // No run of the model has a workflow.
                Effect::Source { .. } | Effect::Remind { .. } | Effect::Withdraw { .. } => {}
                Effect::Summarise => {
                    let known = self.summaries.insert(id, RunSummary::of(&run, source));
                    assert_eq!(known, None, "a run has one summary");
                }
                Effect::Alert { class, level } => self.alert(&run, class, level),
                Effect::Export | Effect::Archive => self.outbox.push((id, effect)),
            }
        }
        self.runs.insert(id, run.clone());
        Ok(run)
    }

    /// The same trouble is told once while its alert is open, unless it is louder.
    fn alert(&mut self, run: &Run, class: FailureClass, level: AlertLevel) {
        let key = format!("{}{class}", alert_prefix(run));
        let newest = self.alerts.iter().rfind(|(known, _)| *known == key);
        let repeats = newest.is_some_and(|(_, known)| *known >= level);
        let kind = if repeats {
            EventKind::AlertRepeated
        } else {
            self.alerts.push((key, level));
            EventKind::AlertRaised
        };
        self.events.push((Some(run.id), kind));
    }

    fn close_alerts(&mut self, run: &Run) {
        let prefix = alert_prefix(run);
        let before = self.alerts.len();
        self.alerts.retain(|(key, _)| !key.starts_with(&prefix));
        let closed = before - self.alerts.len();
        self.events
            .extend((0..closed).map(|_| (Some(run.id), EventKind::AlertClosed)));
    }
}

fn alert_prefix(run: &Run) -> String {
    match &run.source_id {
        Some(source) => format!("source/{source}/"),
        None => format!("job/{}/{}/", run.lane, run.job_id),
    }
}

fn one(run: Result<Run, Refusal>) -> Answer {
    run.map_or_else(Answer::Refused, |run| Answer::Runs(vec![run]))
}
