//! Requests for decisions: opened with their runs, and decided once (D-FLOW-3, D-FLOW-4). What becomes of them
//! otherwise is in [`requests`](super::requests).

use std::sync::Arc;

use futures::future::join_all;
use moorline_core::approval::{ApprovalRequest, ApprovalStatus, Choice, DecisionOutcome};
use moorline_core::content_id::ContentId;
use moorline_core::error_code::{AlertLevel, ErrorCode, FailureClass, RunStatus};
use moorline_core::event::EventKind;
use moorline_core::ids::ApprovalId;
use moorline_core::principal::{Principal, PrincipalKind, Role};
use moorline_core::run::{Run, Verdict};
use moorline_core::spec;
use moorline_core::workflow::Flow;
use serde_json::{Map, Value, json};

use super::check::equal;
use super::{Failure, Shape, Subject, World};
use crate::alerts::AlertFilter;
use crate::approvals::{DecideApproval, DecidedApproval, WhichApproval};
use crate::error::StoreError;
use crate::store::Store;
use crate::types::{EventFilter, NewRun};

const GATE: &str = "approve_plan";

/// A run that waits at its gate, in a store.
pub(super) struct Scene {
    pub(super) store: Arc<dyn Store>,
    pub(super) world: World,
    pub(super) run: Run,
    pub(super) request: ApprovalRequest,
}

/// A job of two steps with a gate between them, which expires after an hour.
fn job(on_expiry: &str) -> Value {
    json!({
        "job_id": "statement",
        "steps": [{"name": "plan", "argv": ["./plan"]}, {"name": "work", "argv": ["./work"]}],
        "workflow": {
            "steps": {"plan": {"then": GATE, "produces": ["balance"]}, "work": {"uses": ["balance"]}},
            "gates": [{
                "name": GATE, "title": "Is the plan good?", "context": ["balance"],
                "options": [
                    {"name": "approved", "to": "work"},
                    {"name": "again", "to": "plan", "iterate": true},
                    {"name": "rejected", "to": "reject"}
                ],
                "expires_after_seconds": 3600, "on_expiry": on_expiry, "reminders": [600, 1200, 1800]
            }]
        }
    })
}

fn new_run(world: &World, job: &Value) -> Result<NewRun, Failure> {
    let text = job.to_string();
    let spec = spec::load(text.as_bytes())?;
    let shape = Shape {
        steps: &["plan", "work"],
        ..Shape::default()
    };
    let mut new = world.new_run(&shape);
    let (flow, step) = Flow::start(&spec, &Map::new(), world.now())
        .ok_or_else(|| Failure::new("the job has a workflow".to_owned()))?;
    new.run.spec_hash = ContentId::of_bytes(text.as_bytes());
    (new.run.flow, new.run.step) = (Some(Box::new(flow)), step);
    new.spec = text;
    Ok(new)
}

impl Scene {
    pub(super) async fn open(store: Arc<dyn Store>, on_expiry: &str) -> Result<Self, Failure> {
        let world = World::default();
        let new = new_run(&world, &job(on_expiry))?;
        let run = store.run_submit(new).await?.run;
        let run = step_done(&world, store.as_ref(), &run).await?;
        let request = open_request(store.as_ref(), &run).await?;
        Ok(Self {
            store,
            world,
            run,
            request,
        })
    }

    pub(super) fn decide(&self, option: &str, key: Option<&str>) -> DecideApproval {
        DecideApproval {
            which: by_id(self.request.id),
            choice: choice(option, key),
            now: self.world.now(),
        }
    }

    pub(super) async fn decided(
        &self,
        decide: DecideApproval,
    ) -> Result<DecidedApproval, StoreError> {
        self.store.approval_decide(decide).await
    }

    pub(super) async fn request(&self) -> Result<ApprovalRequest, Failure> {
        let found = self.store.approval_get(self.request.id).await?;
        found.ok_or_else(|| Failure::new("the request is gone".to_owned()))
    }

    pub(super) async fn reload(&self) -> Result<Run, Failure> {
        let found = self.store.run_get(self.run.id).await?;
        found.ok_or_else(|| Failure::new("the run is gone".to_owned()))
    }

    pub(super) async fn events(&self, kind: EventKind) -> Result<usize, Failure> {
        let filter = EventFilter {
            kinds: vec![kind],
            run_id: Some(self.run.id),
            ..EventFilter::default()
        };
        Ok(self.store.events_list(filter).await?.len())
    }

    /// Everything that a write would move.
    pub(super) async fn trace(&self) -> Result<(Run, ApprovalRequest, u64, usize), Failure> {
        let head = self.store.audit_head().await?;
        let events = self.store.events_list(EventFilter::default()).await?;
        Ok((
            self.reload().await?,
            self.request().await?,
            head.id,
            events.len(),
        ))
    }
}

pub(super) async fn step_done(world: &World, store: &dyn Store, run: &Run) -> Result<Run, Failure> {
    let run = world.claim(store, run.id).await?;
    let verdict = Verdict::Success {
        data: json!({"balance": "12.34"}),
        outputs: Vec::new(),
        transaction_count: None,
    };
    Ok(store.attempt_finish(world.finish(&run, verdict)).await?)
}

pub(super) async fn open_request(store: &dyn Store, run: &Run) -> Result<ApprovalRequest, Failure> {
    let open = run.flow.as_ref().and_then(|flow| flow.open);
    let id = open.ok_or_else(|| Failure::new(format!("run {} waits for nothing", run.id)))?;
    let found = store.approval_get(id).await?;
    found.ok_or_else(|| Failure::new(format!("request {id} is not there")))
}

fn by_id(id: ApprovalId) -> WhichApproval {
    WhichApproval::Id {
        id,
        run: None,
        checkpoint: None,
    }
}

fn choice(option: &str, key: Option<&str>) -> Choice {
    Choice {
        option: option.to_owned(),
        by: Principal::named(PrincipalKind::Human, "ada"),
        role: Role::Approver,
        feedback: None,
        input: Map::new(),
        idempotency_key: key.map(str::to_owned),
        version: None,
    }
}

/// The code of a denial.
pub(super) fn denied<V>(result: Result<V, StoreError>) -> Option<ErrorCode> {
    match result {
        Err(StoreError::Denied(denial)) => Some(denial.code),
        _ => None,
    }
}

/// D-FLOW-3: the request and the waiting run are one transaction; nothing of the run is alive or due.
pub(super) async fn a_request_opens_as_its_run_comes_to_the_gate(
    subject: Subject,
) -> Result<(), Failure> {
    let store = subject.open().await?;
    let scene = Scene::open(Arc::clone(&store), "fail").await?;
    let (run, request) = (&scene.run, &scene.request);
    equal(&run.status, &RunStatus::AwaitingApproval, "the run")?;
    equal(
        &(run.is_live(), run.due_at),
        &(false, None),
        "what it holds",
    )?;
    equal(&store.runs_live().await?.len(), &0, "leases")?;
    equal(&store.next_due(Some(run.id)).await?, &None, "what is due")?;
    equal(
        &(request.run_id, request.checkpoint.as_str(), request.status),
        &(run.id, GATE, ApprovalStatus::Pending),
        "the request",
    )?;
    equal(
        &Value::Object(request.context.clone()),
        &json!({"balance": "12.34"}),
        "its context",
    )?;
    equal(
        &scene.events(EventKind::ApprovalRequested).await?,
        &1,
        "events",
    )?;
    let alerts = store.alerts_list(AlertFilter::default()).await?;
    let alerts: Vec<_> = alerts
        .iter()
        .map(|a| (a.alert.level, a.alert.run_id))
        .collect();
    equal(
        &alerts,
        &vec![(AlertLevel::Info, Some(run.id))],
        "who is told",
    )?;
    // Whoever ends the step wants the next one claimed at once: at a gate there is none.
    let world = &scene.world;
    let new = new_run(world, &job("fail"))?;
    let run = store.run_submit(new).await?.run;
    let run = world.claim(store.as_ref(), run.id).await?;
    let mut finish = world.finish(&run, World::success());
    finish.claim_next = Some((world.driver, world.attempt_id(), world.lease()));
    let run = store.attempt_finish(finish).await?;
    equal(
        &(run.status, run.attempts),
        &(RunStatus::AwaitingApproval, 1),
        "the other run",
    )
}

/// D-FLOW-4, L34: the same decision again is answered and writes nothing; another one is refused.
pub(super) async fn a_request_is_decided_once(subject: Subject) -> Result<(), Failure> {
    let scene = Scene::open(subject.open().await?, "fail").await?;
    let decided = scene.decided(scene.decide("approved", Some("k1"))).await?;
    check!(decided.applied, "the decision was applied");
    equal(
        &decided.request.status,
        &ApprovalStatus::Approved,
        "the request",
    )?;
    let run = &decided.run;
    equal(
        &(run.status, run.step, run.due_at),
        &(RunStatus::Running, 1, Some(scene.world.now())),
        "the run goes on",
    )?;
    equal(&scene.request().await?, &decided.request, "what is stored")?;
    let audit = scene.store.audit_list(0, 100).await?;
    let audit = audit.iter().filter(|r| r.operation == "approval.decide");
    let audit: Vec<_> = audit
        .map(|r| (r.actor.as_str(), &r.data["option"]))
        .collect();
    equal(
        &audit,
        &vec![("human:ada", &json!("approved"))],
        "the audit trail",
    )?;
    let before = scene.trace().await?;
    let again = scene.decided(scene.decide("approved", Some("k1"))).await?;
    equal(
        &(again.applied, again.request),
        &(false, decided.request),
        "the same again",
    )?;
    for (option, key) in [
        ("rejected", Some("k1")),
        ("rejected", None),
        ("again", Some("k2")),
    ] {
        let other = scene.decided(scene.decide(option, key)).await;
        equal(&denied(other), &Some(ErrorCode::Conflict), option)?;
    }
    equal(
        &scene.trace().await?,
        &before,
        "what is stored after all that",
    )?;
    // L36: what was rejected stays so.
    let scene = Scene::open(subject.open().await?, "fail").await?;
    let rejected = scene.decided(scene.decide("rejected", None)).await?;
    let outcome = rejected.request.decision.map(|decision| decision.outcome);
    equal(
        &(rejected.run.status, outcome),
        &(RunStatus::Failed, Some(DecisionOutcome::Rejected)),
        "a rejection",
    )?;
    let class = rejected.run.failure.map(|failure| failure.class);
    equal(&class, &Some(FailureClass::Rejected), "its failure")?;
    let late = scene.decided(scene.decide("approved", None)).await;
    equal(
        &denied(late),
        &Some(ErrorCode::Conflict),
        "a change of mind",
    )
}

/// L32: what is of another run or checkpoint, and what was not seen as it is, has no effect.
pub(super) async fn a_decision_means_one_request(subject: Subject) -> Result<(), Failure> {
    let scene = Scene::open(subject.open().await?, "fail").await?;
    let other = Scene::open(Arc::clone(&scene.store), "fail").await?;
    let (id, run) = (scene.request.id, scene.run.id);
    let of = |run, checkpoint: Option<&str>| WhichApproval::Id {
        id,
        run,
        checkpoint: checkpoint.map(str::to_owned),
    };
    let open = |run, checkpoint: &str| WhichApproval::Open {
        run,
        checkpoint: checkpoint.to_owned(),
    };
    let before = scene.trace().await?;
    let wrong = [
        of(Some(other.run.id), None),
        of(None, Some("approve_budget")),
        open(run, "approve_budget"),
    ];
    for which in wrong {
        let what = format!("{which:?}");
        let decide = DecideApproval {
            which,
            ..scene.decide("approved", None)
        };
        equal(
            &denied(scene.decided(decide).await),
            &Some(ErrorCode::Conflict),
            &what,
        )?;
    }
    let mut stale = scene.decide("approved", None);
    stale.choice.version = Some(7);
    let stale = denied(scene.decided(stale).await);
    check!(stale.is_some(), "a version that is not there is denied");
    let unknown = DecideApproval {
        which: by_id(ApprovalId::derived(scene.world.now(), run, 99)),
        ..scene.decide("approved", None)
    };
    check_err!(
        scene.decided(unknown).await,
        StoreError::NotFound { .. },
        "a request that does not exist"
    );
    equal(
        &scene.trace().await?,
        &before,
        "what is stored after all that",
    )?;
    let decide = DecideApproval {
        which: open(run, GATE),
        ..scene.decide("approved", Some("k"))
    };
    let decided = scene.decided(decide.clone()).await?;
    equal(&decided.request.id, &id, "the one that the run waits for")?;
    let again = scene.decided(decide).await?;
    equal(
        &(again.request.id, again.applied),
        &(id, false),
        "by its key",
    )
}

/// D-ART-4: agents and pipelines propose; a person with the gate's role decides.
pub(super) async fn only_a_person_with_the_role_decides(subject: Subject) -> Result<(), Failure> {
    let scene = Scene::open(subject.open().await?, "fail").await?;
    let before = scene.trace().await?;
    let who = [
        (PrincipalKind::Agent, Role::Admin),
        (PrincipalKind::Ci, Role::Admin),
        (PrincipalKind::Human, Role::Operator),
    ];
    for (kind, role) in who {
        let mut decide = scene.decide("approved", None);
        decide.choice.by = Principal::named(kind, "x");
        decide.choice.role = role;
        let refused = denied(scene.decided(decide).await);
        equal(
            &refused,
            &Some(ErrorCode::Forbidden),
            &format!("{kind:?} {role:?}"),
        )?;
    }
    equal(
        &scene.trace().await?,
        &before,
        "what is stored after all that",
    )
}

/// L33: a hundred decisions at once, from several processes, are one effect.
pub(super) async fn of_a_hundred_decisions_at_once_one_holds(
    subject: Subject,
) -> Result<(), Failure> {
    let stores = subject.open_many(4).await?;
    let store = stores.first().cloned();
    let store = store.ok_or_else(|| Failure::new("no store".to_owned()))?;
    let scene = Scene::open(store, "fail").await?;
    let options = ["approved", "again", "rejected"];
    let all = stores
        .iter()
        .cycle()
        .zip(options.iter().cycle())
        .zip(0..100);
    let all = all.map(|((store, option), number)| {
        let decide = scene.decide(option, Some(&format!("key {number}")));
        async move { store.approval_decide(decide).await }
    });
    let (mut held, mut refused) = (0, 0);
    for one in join_all(all).await {
        match one {
            Ok(decided) if decided.applied => held += 1,
            Err(StoreError::Denied(denial)) if denial.code == ErrorCode::Conflict => refused += 1,
            other => return Err(Failure::new(format!("unexpected: {other:?}"))),
        }
    }
    equal(&(held, refused), &(1, 99), "applied and refused")?;
    equal(
        &scene.events(EventKind::ApprovalDecided).await?,
        &1,
        "events",
    )
}
