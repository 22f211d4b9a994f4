//! The egress probe: whether the rule that an artifact declares is in force where it will run (D-SCHED-2).
//!
//! For each distinct combination of egress rule, executor and image among the steps, one real attempt runs with
//! just these, under the lane's isolation. Instead of the job's program it runs the one that tries destinations
//! ([`moorline_executor::reach`]): hosts that the rule allows, and hosts that it does not.
//!
//! It holds when of each combination *every* forbidden destination was refused in every way that was tried, and,
//! where the rule allows some, at least one allowed host answered: a network that is simply down refuses
//! everything as well, and shows nothing. Whatever could not be asked counts as not holding.
//!
//! Deliberately absent: hosts that stand for patterns (`*.example.com`), which nobody can name for the job's
//! author. A list without one plain host can not be verified.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use moorline_api::ApiError;
use moorline_core::artifact::Artifact;
use moorline_core::attempt::{Attempt, Exit, IsolationNeed, Limits, Outcome};
use moorline_core::error_code::ErrorCode;
use moorline_core::ids::{AttemptId, RunId};
use moorline_core::lane::Lane;
use moorline_core::protocol::Reply;
use moorline_core::spec::{EffectiveStep, Egress, HostRule, JobSpec, Mode};
use moorline_executor::Executor;
use moorline_executor::reach::{End, PROBE, Reached, Way};
use moorline_secrets::SecretEnv;
use serde::Serialize;
use serde_json::{Value, json};

use crate::attempt::executor_error;
use crate::engine::Inner;
use crate::error::{io_error, store_error};

/// For all destinations of one attempt; each has some seconds.
const TIMEOUT: Duration = Duration::from_mins(3);
/// Destinations that no artifact has a reason to name: a documentation address (RFC 5737), the address at which
/// clouds tell machines their credentials, and a host that is there for examples (RFC 2606), which answers.
const FORBIDDEN: [(&str, u16); 3] = [
    ("192.0.2.1", 443),
    ("169.254.169.254", 80),
    ("example.com", 443),
];
/// Allowed hosts that are tried for one rule, at most.
const MAX_ALLOWED: usize = 8;

/// What a probe found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EgressProbe {
    /// Whether the rule was seen to be in force.
    pub(crate) holds: bool,
    /// The rules, the hosts, and what happened; no secrets.
    pub(crate) detail: Value,
}

/// One combination that is probed, and the steps that have it.
#[derive(Debug, Clone, PartialEq)]
struct Subject {
    steps: Vec<String>,
    egress: Egress,
    executor: String,
    image: Option<String>,
}

/// What is tried for a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Targets {
    allowed: Vec<String>,
    forbidden: Vec<String>,
}

/// What came of one subject.
#[derive(Debug, Serialize)]
struct Finding {
    steps: Vec<String>,
    executor: String,
    egress: Egress,
    holds: bool,
    /// Why not, or what was seen.
    why: String,
    allowed: Vec<Reached>,
    forbidden: Vec<Reached>,
}

impl Inner {
    /// Runs the probe for an artifact in a lane.
    ///
    /// # Errors
    /// When the spec is not in the store or a directory can not be made. A probe that could not be run is no
    /// error but a finding: it does not hold.
    pub(crate) async fn probe_egress(
        &self,
        lane: &Lane,
        artifact: &Artifact,
    ) -> Result<EgressProbe, ApiError> {
        let settings = self.lane_settings(lane)?;
        let need = if settings.rules.requires_isolation {
            IsolationNeed::Required
        } else {
            IsolationNeed::BestEffort
        };
        let spec = self.spec_of_artifact(artifact).await?;
        let mut findings = Vec::new();
        for subject in subjects(&spec, &self.config.default_executor) {
            let finding = if let Some(executor) = self.executors.get(&subject.executor) {
                self.probe_one(executor, lane, artifact, need, &subject)
                    .await?
            } else {
                let why = format!("the executor `{}` is not configured", subject.executor);
                Finding::unverified(&subject, why)
            };
            findings.push(finding);
        }
        Ok(EgressProbe {
            holds: !findings.is_empty() && findings.iter().all(|finding| finding.holds),
            detail: json!({"at": self.now(), "content": artifact.content, "probes": findings}),
        })
    }

    async fn spec_of_artifact(&self, artifact: &Artifact) -> Result<Arc<JobSpec>, ApiError> {
        if let Some(spec) = self.known_spec(&artifact.spec_hash) {
            return Ok(spec);
        }
        let missing = || {
            let message = format!("the spec of artifact {} is not in the store", artifact.id);
            ApiError::new(ErrorCode::Store, message)
        };
        let text = self.store.spec_get(&artifact.spec_hash).await;
        let text = text.map_err(store_error)?.ok_or_else(missing)?;
        let spec: JobSpec =
            serde_json::from_str(&text).map_err(|error| missing().because(error))?;
        let spec = Arc::new(spec);
        self.remember_spec(artifact.spec_hash, Arc::clone(&spec));
        Ok(spec)
    }

    async fn probe_one(
        &self,
        executor: &Arc<dyn Executor>,
        lane: &Lane,
        artifact: &Artifact,
        need: IsolationNeed,
        subject: &Subject,
    ) -> Result<Finding, ApiError> {
        let targets = match targets(&subject.egress) {
            Ok(targets) => targets,
            Err(why) => return Ok(Finding::unverified(subject, why)),
        };
        let Some(prober) = executor.egress_prober(need) else {
            let why = format!("the {} executor has no probe program", subject.executor);
            return Ok(Finding::unverified(subject, why));
        };
        // The probe looks at nothing of the job.
        let empty = tempfile::tempdir().map_err(io_error("make a directory for the probe"))?;
        let mut attempt = self.attempt_of(lane, artifact, need, subject, empty.path());
        attempt.argv = [prober.as_str(), PROBE]
            .into_iter()
            .chain(targets.allowed.iter().map(String::as_str))
            .chain(targets.forbidden.iter().map(String::as_str))
            .map(Into::into)
            .collect();
        Ok(match run(executor, &attempt).await {
            Ok(outcome) => judge(subject, &targets, &outcome),
            Err(error) => Finding::unverified(subject, error.message),
        })
    }

    fn attempt_of(
        &self,
        lane: &Lane,
        artifact: &Artifact,
        need: IsolationNeed,
        subject: &Subject,
        bundle: &Path,
    ) -> Attempt {
        Attempt {
            id: AttemptId::new(self.ids.uuid()),
            run_id: RunId::new(self.ids.uuid()),
            owner: self.config.dirs.root().display().to_string(),
            job_id: artifact.job_id.clone(),
            source_id: artifact.source_id.clone(),
            lane: lane.to_string(),
            mode: Mode::Real,
            step: "egress-probe".to_owned(),
            number: 1,
            argv: Vec::new(),
            env: BTreeMap::new(),
            bundle: bundle.to_owned(),
            working_dir: None,
            params: serde_json::Map::new(),
            inputs: BTreeMap::new(),
            steps: BTreeMap::new(),
            workflow: None,
            mounts: Vec::new(),
            limits: Limits {
                timeout: TIMEOUT,
                grace: Duration::ZERO,
                ..Limits::default()
            },
            egress: subject.egress.clone(),
            isolation: need,
            image: subject.image.clone(),
            gpu: Vec::new(),
            warm_start: false,
            secret_objects: Vec::new(),
        }
    }
}

/// The distinct combinations of a spec's steps, in the order of their first steps.
fn subjects(spec: &JobSpec, default_executor: &str) -> Vec<Subject> {
    let mut subjects: Vec<Subject> = Vec::new();
    for EffectiveStep { step, egress, .. } in spec.effective_steps() {
        let executor = step.executor.as_deref().unwrap_or(default_executor);
        let same = subjects.iter_mut().find(|subject| {
            subject.egress == *egress && subject.executor == executor && subject.image == step.image
        });
        match same {
            Some(subject) => subject.steps.push(step.name.clone()),
            None => subjects.push(Subject {
                steps: vec![step.name.clone()],
                egress: egress.clone(),
                executor: executor.to_owned(),
                image: step.image.clone(),
            }),
        }
    }
    subjects
}

/// What to try for a rule, or why nothing can be shown about it.
fn targets(egress: &Egress) -> Result<Targets, String> {
    let rules = egress
        .host_rules()
        .map_err(|error| format!("the rule can not be read: {error}"))?;
    if egress.is_unbounded() {
        return Err(
            "the rule allows every host, so no refusal can be shown: list the hosts".into(),
        );
    }
    let forbidden = FORBIDDEN
        .iter()
        .filter(|(host, port)| !rules.iter().any(|rule| rule.matches(host, *port)))
        .map(|(host, port)| format!("{host}:{port}"))
        .collect();
    let allowed: Vec<String> = rules.iter().filter_map(named).take(MAX_ALLOWED).collect();
    if allowed.is_empty() && *egress != Egress::None {
        return Err(
            "the rule names no plain host that could be asked: name one beside the patterns".into(),
        );
    }
    Ok(Targets { allowed, forbidden })
}

/// The host and port to ask for a rule: the web's secure port where it names none.
fn named(rule: &HostRule) -> Option<String> {
    let host = rule.exact_host()?;
    Some(format!("{host}:{}", rule.port().unwrap_or(443)))
}

/// Runs an attempt to its end and leaves nothing of it.
async fn run(executor: &Arc<dyn Executor>, attempt: &Attempt) -> Result<Outcome, ApiError> {
    let told = |error| executor_error(&error);
    let handle = executor.launch(attempt, &SecretEnv::default()).await;
    let handle = handle.map_err(told)?;
    let outcome = executor.wait(&handle).await.map_err(told)?;
    if let Err(error) = executor.forget(&handle).await {
        tracing::warn!(attempt = %attempt.id, %error, "the probe's record is left behind");
    }
    Ok(outcome)
}

/// What an outcome shows.
fn judge(subject: &Subject, targets: &Targets, outcome: &Outcome) -> Finding {
    if outcome.exit != (Exit::Exited { code: 0 }) {
        return Finding::unverified(
            subject,
            format!("the probe did not run: {:?}", outcome.exit),
        );
    }
    let reached = match &outcome.reply {
        Reply::Success { data, .. } => serde_json::from_value::<Vec<Reached>>(data.clone()).ok(),
        _ => None,
    };
    let Some(reached) = reached else {
        return Finding::unverified(subject, "the probe gave no answer".to_owned());
    };
    let of = |wanted: &[String]| -> Vec<Reached> {
        let is_wanted = |one: &&Reached| wanted.contains(&one.target);
        reached.iter().filter(is_wanted).cloned().collect()
    };
    let (allowed, forbidden) = (of(&targets.allowed), of(&targets.forbidden));
    let untried = targets
        .forbidden
        .iter()
        .find(|target| !forbidden.iter().any(|one| one.target == **target));
    let let_through = forbidden.iter().find(|one| one.end != End::Refused);
    let answered = allowed.iter().find(|one| one.end.is_reached());
    let why = match (untried, let_through, answered) {
        (Some(target), ..) => Err(format!("{target} was not tried")),
        (_, Some(one), _) => Err(format!(
            "{} was not refused {}: {}",
            one.target,
            way(one.way),
            one.words
        )),
        (_, _, Some(one)) => Ok(format!("{} answered; all others were refused", one.target)),
        (_, _, None) if targets.allowed.is_empty() => Ok("everything was refused".to_owned()),
        (_, _, None) => Err("no allowed host answered, so refusals show nothing".to_owned()),
    };
    let (holds, why) = match why {
        Ok(why) => (true, why),
        Err(why) => (false, why),
    };
    Finding {
        holds,
        allowed,
        forbidden,
        ..Finding::unverified(subject, why)
    }
}

const fn way(way: Way) -> &'static str {
    match way {
        Way::Proxy => "by the proxy",
        Way::Direct => "on the direct way",
    }
}

impl Finding {
    /// Nothing could be shown about a subject.
    fn unverified(subject: &Subject, why: String) -> Self {
        Self {
            steps: subject.steps.clone(),
            executor: subject.executor.clone(),
            egress: subject.egress.clone(),
            holds: false,
            why,
            allowed: Vec::new(),
            forbidden: Vec::new(),
        }
    }
}
