use proptest::prelude::*;
use uuid::Uuid;

use super::super::fixture::{approve, at, draft, human, pending, security_review, wider};
use super::*;
use crate::content_id::ContentId;
use crate::denial::Detail;
use crate::principal::PrincipalKind;

fn pointing(number: u128) -> Pointing {
    Pointing {
        id: PromotionId::new(Uuid::from_u128(number)),
        lane: Lane::PROD,
        reason: "reviewed".to_owned(),
        evidence: Vec::new(),
    }
}

fn approved(review: Review) -> Artifact {
    let (artifact, eve) = (pending(), human("eve"));
    let command = approve(&artifact, review, &eve, at(1));
    apply(&artifact, command, &eve, at(1), true)
        .unwrap()
        .artifact
}

#[test]
fn a_submission_waits_for_a_person_who_approves_it() {
    let submitted = apply(&draft(), Command::Submit, &human("ada"), at(0), false).unwrap();
    assert_eq!(submitted.artifact.state, ArtifactState::Pending);
    let approved = approved(Review::default());
    assert_eq!(approved.state, ArtifactState::Approved);
    let decision = approved.approval().unwrap();
    assert_eq!((&decision.by, decision.at), (&human("eve"), at(1)));
    let attested = decision.signed.as_ref().unwrap().check().unwrap();
    assert_eq!(attested.content, approved.content);
}

#[test]
fn findings_keep_an_artifact_from_being_submitted_and_are_all_named() {
    let finding = |at: &str| Detail {
        at: at.to_owned(),
        rule: "D-ART-1".to_owned(),
        message: "is missing".to_owned(),
        hint: None,
    };
    let mut artifact = draft();
    artifact.review.findings = vec![finding("RUNBOOK.md"), finding("RISKS.md")];
    let denial = apply(&artifact, Command::Submit, &human("ada"), at(0), false).unwrap_err();
    assert_eq!(denial.details, artifact.review.findings);
    assert_eq!((denial.code, &*denial.rule), (ErrorCode::Inputs, "D-ART-1"));
}

#[test]
fn the_two_person_rule_forbids_approving_one_s_own_submission() {
    let (artifact, ada) = (pending(), human("ada"));
    for command in [
        approve(&artifact, Review::default(), &ada, at(1)),
        security_review(&artifact, &ada, at(1)),
    ] {
        let denial = apply(&artifact, command.clone(), &ada, at(1), true).unwrap_err();
        assert_eq!(
            (denial.code, &*denial.rule),
            (ErrorCode::Forbidden, "D-ART-4")
        );
        apply(&artifact, command, &ada, at(1), false).unwrap();
    }
}

#[test]
fn a_signed_record_of_something_else_approves_nothing() {
    let (artifact, eve) = (pending(), human("eve"));
    let other = Artifact {
        content: ContentId::of_bytes(b"other"),
        ..pending()
    };
    let elsewhere = [
        approve(&other, Review::default(), &eve, at(1)),
        approve(&artifact, Review::default(), &human("bob"), at(1)),
        approve(&artifact, Review::default(), &eve, at(2)),
        match (
            approve(&artifact, Review::default(), &eve, at(1)),
            security_review(&artifact, &eve, at(1)),
        ) {
            (Command::Approve { reason, review, .. }, Command::SecurityReview { signed, .. }) => {
                Command::Approve {
                    reason,
                    review,
                    signed,
                }
            }
            _ => unreachable!(),
        },
    ];
    for command in elsewhere {
        let denial = apply(&artifact, command, &eve, at(1), false).unwrap_err();
        assert_eq!(denial.code, ErrorCode::Conflict, "{denial}");
    }
}

#[test]
fn a_promotion_that_widens_egress_needs_a_security_review_of_these_very_changes() {
    let (artifact, eve) = (approved(wider()), human("eve"));
    let denial = promote(&artifact, None, pointing(1), &eve, at(2)).unwrap_err();
    assert_eq!((denial.code, &*denial.rule), (ErrorCode::Policy, "D-ART-5"));
    assert_eq!(denial.details.len(), 1);
    let command = security_review(&artifact, &eve, at(3));
    let reviewed = apply(&artifact, command, &eve, at(3), true)
        .unwrap()
        .artifact;
    promote(&reviewed, None, pointing(1), &eve, at(4))
        .unwrap()
        .unwrap();

    // A security review of other changes counts for nothing.
    let before = pending();
    let command = security_review(&before, &eve, at(1));
    let before = apply(&before, command, &eve, at(1), true).unwrap().artifact;
    let command = approve(&before, wider(), &eve, at(2));
    let artifact = apply(&before, command, &eve, at(2), true).unwrap().artifact;
    assert!(!artifact.security_settled());
}

#[test]
fn a_promotion_is_idempotent_and_needs_an_approval() {
    let (artifact, eve) = (approved(Review::default()), human("eve"));
    let first = promote(&artifact, None, pointing(1), &eve, at(2))
        .unwrap()
        .unwrap();
    assert_eq!(
        (first.content, first.spec_version, first.at),
        (artifact.content, 1, at(2))
    );
    let again = promote(&artifact, Some(&first), pointing(2), &eve, at(3)).unwrap();
    assert_eq!(again, None);
    for state in ArtifactState::ALL {
        let artifact = Artifact {
            state,
            ..artifact.clone()
        };
        let promoted = promote(&artifact, None, pointing(3), &eve, at(4));
        assert_eq!(promoted.is_ok(), state.was_approved(), "{state}");
    }
}

#[test]
fn a_rollback_goes_back_version_by_version() {
    use PromotionKind::{Promote, Rollback};
    let artifact = |n: u128| ArtifactId::new(Uuid::from_u128(n));
    let promotion = |kind, n: u128| Promotion {
        id: PromotionId::new(Uuid::from_u128(n)),
        kind,
        lane: Lane::PROD,
        job_id: "bank".to_owned(),
        artifact: artifact(n),
        content: ContentId::of_bytes(&n.to_be_bytes()),
        spec_hash: ContentId::of_bytes(b"spec"),
        spec_version: 1,
        previous: None,
        by: human("eve"),
        at: at(1),
        reason: "reviewed".to_owned(),
        evidence: Vec::new(),
    };
    let history = [(Promote, 1), (Promote, 2), (Promote, 3)].map(|(k, n)| promotion(k, n));
    assert_eq!(versions(&history), [1, 2, 3].map(artifact));
    let mut history = history.to_vec();
    history.push(promotion(Rollback, 2));
    assert_eq!(versions(&history), [1, 2].map(artifact));
    history.push(promotion(Rollback, 1));
    assert_eq!(versions(&history), [1].map(artifact));
    history.push(promotion(Promote, 4));
    assert_eq!(versions(&history), [1, 4].map(artifact));
    // To a version that the lane never pointed to.
    history.push(promotion(Rollback, 9));
    assert_eq!(versions(&history), [1, 4, 9].map(artifact));
}

fn principals() -> impl Strategy<Value = Principal> {
    (prop::sample::select(&PrincipalKind::ALL[..]), "[ab]")
        .prop_map(|(kind, name)| Principal::named(kind, &name))
}

proptest! {
    /// D-ART-3, D-ART-4: whatever is asked by whomever, states move along the arrows only, content and
    /// submitter never change, and nothing but a submission moves without a person.
    #[test]
    fn states_only_move_along_the_arrows_and_content_never_changes(
        asked in prop::collection::vec((0_usize..7, principals(), any::<bool>(), any::<bool>()), 1..20)
    ) {
        use ArtifactState as S;
        let arrows = [
            (S::Draft, S::Pending),
            (S::Pending, S::Approved),
            (S::Pending, S::Rejected),
            (S::Pending, S::RevisionsRequested),
            (S::Approved, S::Superseded),
            (S::Approved, S::Archived),
            (S::Superseded, S::Archived),
        ];
        let first = draft();
        let mut artifact = first.clone();
        for (minute, (which, actor, two_person, security)) in asked.into_iter().enumerate() {
            let now = at(i64::try_from(minute).unwrap());
            let reason = "because".to_owned();
            let review = if security { wider() } else { Review::default() };
            let command = match which {
                0 => Command::Submit,
                1 => approve(&artifact, review, &actor, now),
                2 => Command::Reject { reason },
                3 => Command::RequestChanges { reason, changes: vec!["less".to_owned()] },
                4 => security_review(&artifact, &actor, now),
                5 => Command::Archive { reason },
                _ => Command::Supersede { by: ArtifactId::new(Uuid::from_u128(2)) },
            };
            let submission = command == Command::Submit;
            let (before, decides) = (artifact.clone(), command.decision());
            let Ok(applied) = apply(&artifact, command, &actor, now, two_person) else {
                continue;
            };
            artifact = applied.artifact;
            prop_assert!(
                before.state == artifact.state && decides == Some(DecisionKind::SecurityReview)
                    || arrows.contains(&(before.state, artifact.state))
            );
            prop_assert!(submission || actor.is_human());
            prop_assert_eq!(
                artifact.decisions.len() - before.decisions.len(),
                usize::from(decides.is_some())
            );
            prop_assert!(artifact.decisions.starts_with(&before.decisions));
            prop_assert_eq!(artifact.version, before.version + 1);
            let unchanged = Artifact {
                state: first.state,
                review: first.review.clone(),
                decisions: Vec::new(),
                version: 0,
                ..artifact.clone()
            };
            prop_assert_eq!(&unchanged, &first);
            if artifact.state.was_approved() {
                prop_assert!(artifact.approval().is_some_and(|approval| approval.by.is_human()));
            }
            let promoted = promote(&artifact, None, pointing(1), &actor, now);
            prop_assert_eq!(
                promoted.is_ok(),
                actor.is_human() && artifact.state.was_approved() && artifact.security_settled()
            );
        }
    }
}
