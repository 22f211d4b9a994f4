//! The audit trail as a list, and refusals.

use jiff::{SignedDuration, Timestamp};
use moorline_core::audit::NewAudit;
use moorline_core::denial::Detail;
use moorline_core::error_code::ErrorCode;
use moorline_core::ids::RefusalId;
use moorline_core::refusal::RefusalRecord;
use serde_json::json;
use uuid::Uuid;

use super::check::equal;
use super::{Failure, Subject, World};
use crate::refusals::REFUSALS_KEPT_FOR;
use crate::types::AuditFilter;

/// Each filter alone, together, and in pages.
pub(super) async fn audit_records_are_listed_newest_first_and_filtered_before_the_limit(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let start = world.now();
    for n in 0..12_u32 {
        store.audit_append(entry(start, n)).await?;
    }
    let ids = async |filter: AuditFilter| -> Result<Vec<u64>, Failure> {
        let found = store.audit_search(filter).await?;
        Ok(found.iter().map(|record| record.id).collect())
    };
    let all = AuditFilter::default;
    equal(&ids(all()).await?, &(1..=12).rev().collect(), "all")?;
    let by_operation = AuditFilter {
        operation: Some("run.cancel".to_owned()),
        ..all()
    };
    equal(
        &ids(by_operation.clone()).await?,
        &vec![11, 8, 5, 2],
        "of an operation",
    )?;
    let by_actor = AuditFilter {
        actor: Some("human:ada".to_owned()),
        limit: 2,
        ..all()
    };
    equal(&ids(by_actor.clone()).await?, &vec![11, 9], "by an actor")?;
    let next = AuditFilter {
        before: Some(9),
        ..by_actor
    };
    equal(&ids(next).await?, &vec![7, 5], "the next page")?;
    let exact = AuditFilter {
        subject: Some("run/1".to_owned()),
        ..all()
    };
    equal(&ids(exact.clone()).await?, &vec![10, 6, 2], "of a subject")?;
    let both = AuditFilter {
        operation: by_operation.operation.clone(),
        ..exact
    };
    equal(&ids(both).await?, &vec![2], "of a subject and an operation")?;
    let kind = AuditFilter {
        subject: Some("stop/".to_owned()),
        ..all()
    };
    equal(&ids(kind).await?, &vec![12, 8, 4], "of a kind of subject")?;
    let between = AuditFilter {
        since: Some(later(start, 3)),
        until: Some(later(start, 6)),
        ..all()
    };
    equal(&ids(between).await?, &vec![6, 5, 4], "of a time")?;
    let nothing = AuditFilter {
        operation: Some("run".to_owned()),
        ..all()
    };
    equal(
        &ids(nothing).await?,
        &vec![],
        "of an operation that is not there",
    )
}

/// Record `n + 1` of the trail of the test.
fn entry(start: Timestamp, n: u32) -> NewAudit {
    let operations = ["run.submit", "run.cancel", "stop.engage"];
    let actors = ["human:ada", "agent:ada"];
    let subjects = ["run/0", "run/1", "run/10", "stop/all"];
    let pick = |from: &[&str]| {
        let index = usize::try_from(n).unwrap_or(0) % from.len();
        from.get(index).copied().unwrap_or_default().to_owned()
    };
    NewAudit {
        actor: pick(&actors),
        operation: pick(&operations),
        subject: pick(&subjects),
        reason: None,
        data: json!({"n": n}),
        at: later(start, n),
    }
}

fn later(start: Timestamp, seconds: u32) -> Timestamp {
    start
        .checked_add(SignedDuration::from_secs(seconds.into()))
        .unwrap_or(start)
}

/// A short id is enough, and an ambiguous one is seen to be.
pub(super) async fn a_refusal_is_found_by_the_beginning_of_its_id(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let first = refusal(0x0190_aaaa << 96, world.now());
    let second = refusal((0x0190_aaaa << 96) + 1, world.now());
    let other = refusal(0x0190_bbbb << 96, world.now());
    for refusal in [&first, &second, &other] {
        store.refusal_record(refusal.clone()).await?;
    }
    equal(
        &store.refusal_find("0190BBBB").await?,
        &vec![other.clone()],
        "a beginning",
    )?;
    let whole = first.id.to_string();
    equal(
        &store.refusal_find(&whole).await?,
        &vec![first.clone()],
        "a whole id",
    )?;
    let both = vec![first.clone(), second.clone()];
    equal(
        &store.refusal_find("0190a").await?,
        &both,
        "an ambiguous beginning",
    )?;
    for nothing in ["", "0190c", "0190%", "x"] {
        equal(&store.refusal_find(nothing).await?, &vec![], nothing)?;
    }
    equal(
        &store.refusals_list(2).await?,
        &vec![other, second],
        "the newest",
    )?;
    equal(
        &store.audit_head().await?.id,
        &0,
        "audit records of refusals",
    )
}

/// What is older than the bound is gone with the next refusal.
pub(super) async fn only_the_newest_refusals_are_kept(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let start = world.now();
    let old = refusal(1, start);
    let end = start.checked_add(REFUSALS_KEPT_FOR)?;
    let last = refusal(2, end);
    let after = refusal(3, end.checked_add(SignedDuration::from_secs(1))?);
    store.refusal_record(old.clone()).await?;
    store.refusal_record(last.clone()).await?;
    let both = vec![last.clone(), old];
    equal(
        &store.refusals_list(10).await?,
        &both,
        "before the time is over",
    )?;
    store.refusal_record(after.clone()).await?;
    equal(
        &store.refusals_list(10).await?,
        &vec![after, last],
        "after it",
    )
}

fn refusal(id: u128, at: Timestamp) -> RefusalRecord {
    RefusalRecord {
        id: RefusalId::new(Uuid::from_u128(id)),
        at,
        operation: "schedule.enable".to_owned(),
        actor: "agent:planner".to_owned(),
        subject: "schedule/prod/bank".to_owned(),
        code: ErrorCode::Forbidden,
        rules: vec!["D-ART-4".to_owned()],
        message: "only a person may (D-ART-4)".to_owned(),
        hint: Some("ask a person".to_owned()),
        details: vec![Detail {
            at: "gate".to_owned(),
            rule: "D-SCHED-2".to_owned(),
            message: "missing".to_owned(),
            hint: None,
        }],
    }
}
