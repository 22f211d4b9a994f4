//! What happens to a request that nobody decides (D-FLOW-6).

use serde_json::{Value, json};

use super::{Walk, choice, denied, job, kinds};
use crate::approval::ApprovalStatus;
use crate::error_code::{AlertLevel, ErrorCode, FailureClass, RunStatus};
use crate::run::{Applied, Command, Effect};

fn waiting(policy: &str) -> Walk {
    let mut document = job();
    document["workflow"]["gates"][0]["on_expiry"] = json!(policy);
    let mut walk = Walk::of(&document);
    walk.step("plan", json!({"plan": 1}));
    walk
}

fn levels(applied: &Applied) -> Vec<(AlertLevel, bool)> {
    let remind = |effect: &Effect| match effect {
        Effect::Remind { level, overdue, .. } => Some((*level, *overdue)),
        _ => None,
    };
    applied.effects.iter().filter_map(remind).collect()
}

#[test]
fn reminders_grow_louder_and_come_once() {
    let mut walk = waiting("fail");
    assert_eq!(walk.open().due_at(), Some(walk.open().reminders[0]));
    for (second, level) in [
        (100, AlertLevel::Info),
        (200, AlertLevel::Warning),
        (300, AlertLevel::Critical),
    ] {
        walk.pass(99);
        assert_eq!(walk.lapse().events.len(), 0, "{second}");
        walk.pass(1);
        let reminded = walk.lapse();
        assert_eq!(kinds(&reminded), ["approval.reminded"]);
        assert_eq!(levels(&reminded), [(level, false)]);
        assert_eq!(walk.lapse().events.len(), 0);
    }
    // To be reminded is no change of what is decided.
    let request = walk.open();
    assert_eq!((request.version, request.reminded), (1, 3));
    assert_eq!(request.due_at(), Some(request.expires_at));
    walk.decide("approved");
}

#[test]
fn reminders_that_come_due_together_are_one() {
    let mut walk = waiting("fail");
    walk.pass(250);
    assert_eq!(levels(&walk.lapse()), [(AlertLevel::Warning, false)]);
    assert_eq!((walk.open().reminded, walk.open().reminders.len()), (2, 1));
}

/// L35: after its expiry a request is not decided, whether or not anybody has looked (L44: one notice).
#[test]
fn nothing_is_decided_after_the_expiry() {
    let mut walk = waiting("fail");
    walk.pass(1000);
    let late = denied(walk.choose(choice("approved")));
    assert_eq!((late.0, late.1.as_str()), (ErrorCode::Expired, "D-FLOW-6"));
    let open = walk.open();
    let expired = walk.lapse();
    assert_eq!(kinds(&expired), ["approval.expired", "run.ended"]);
    let alerts: Vec<&Effect> = expired
        .effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Alert { .. } | Effect::Remind { .. }))
        .collect();
    let notice = Effect::Alert {
        class: FailureClass::Expired,
        level: AlertLevel::Warning,
    };
    assert_eq!(alerts, [&notice]);
    assert_eq!(walk.run.failure.clone().unwrap().code, ErrorCode::Expired);
    let closed = walk.requests[&open.id].clone();
    assert_eq!(
        (closed.status, closed.version),
        (ApprovalStatus::Expired, 2)
    );
    let decide = Command::Decide {
        request: Box::new(closed.clone()),
        choice: choice("approved"),
    };
    assert_eq!(denied(walk.try_command(decide)).0, ErrorCode::Expired);
    let again = walk.command(Command::Lapse {
        request: Box::new(closed),
    });
    assert_eq!((again.events.len(), again.effects.len()), (0, 0));
}

#[test]
fn a_request_is_open_until_the_second_of_its_expiry() {
    let mut walk = waiting("fail");
    walk.pass(999);
    walk.decide("approved");
    let mut walk = waiting("fail");
    walk.pass(999);
    assert_eq!(kinds(&walk.lapse()), ["approval.reminded"]);
    assert_eq!(walk.run.status, RunStatus::AwaitingApproval);
}

#[test]
fn an_expiry_can_reject() {
    let mut walk = waiting("auto_reject");
    walk.pass(1000);
    let open = walk.open();
    walk.lapse();
    let failure = walk.run.failure.clone().unwrap();
    assert_eq!(
        (failure.code, failure.class),
        (ErrorCode::Rejected, FailureClass::Rejected)
    );
    assert_eq!(walk.requests[&open.id].status, ApprovalStatus::Expired);
}

#[test]
fn an_expiry_can_hold_and_the_run_is_decided_late() {
    let mut walk = waiting("hold");
    walk.pass(1000);
    let overdue = walk.lapse();
    assert_eq!(kinds(&overdue), ["approval.expired"]);
    assert_eq!(levels(&overdue), [(AlertLevel::Critical, true)]);
    let request = walk.open();
    assert!(request.overdue);
    assert_eq!(
        (request.status, request.due_at()),
        (ApprovalStatus::Pending, None)
    );
    walk.pass(100_000);
    assert_eq!(walk.lapse().events.len(), 0);
    walk.decide("approved");
    assert_eq!(walk.flow().at, "launch");
}

#[test]
fn a_request_that_is_not_the_run_s_own_does_not_lapse() {
    let mut walk = waiting("fail");
    walk.pass(1000);
    let mut other = walk.open();
    other.id = crate::ids::ApprovalId::derived(walk.now, walk.run.id, 7);
    let applied = walk.command(Command::Lapse {
        request: Box::new(other),
    });
    assert_eq!(
        (applied.events.len(), walk.run.status),
        (0, RunStatus::AwaitingApproval)
    );
    let none: Value = json!(applied.approvals.len());
    assert_eq!(none, json!(0));
}
