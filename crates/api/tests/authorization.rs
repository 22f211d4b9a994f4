//! The authorisation table, whole: every operation, every kind of principal, every role (`D-AUDIT-2`).

use moorline_api::{Operation, authorization};
use moorline_core::error_code::ErrorCode;
use moorline_core::principal::{Principal, PrincipalKind, Role};

fn someone(kind: PrincipalKind) -> Principal {
    Principal::named(kind, "x")
}

/// The kinds that may do it with this role, by their first letters; `-` for who may not.
fn cell(operation: Operation, role: Role) -> String {
    PrincipalKind::ALL
        .into_iter()
        .map(|kind| {
            let letter = kind.as_str().chars().next().unwrap_or('?');
            match authorization::permit(operation, &someone(kind), role) {
                Ok(()) => letter,
                Err(_) => '-',
            }
        })
        .collect()
}

/// The table as it was reviewed: a change of who may do what is a change of this text.
#[test]
fn the_table_is_the_reviewed_one() {
    let line = |name: &str, cells: [String; 4]| {
        let [viewer, operator, approver, admin] = cells;
        format!("{name:<26}{viewer:<10}{operator:<10}{approver:<10}{admin}\n")
    };
    let mut table = line("operation", Role::ALL.map(|role| role.to_string()));
    for operation in Operation::ALL {
        let cells = Role::ALL.map(|role| cell(*operation, role));
        table += &line(operation.as_str(), cells);
    }
    let reviewed = include_str!("authorization.txt");
    assert!(
        table == reviewed,
        "who may do what is not what was reviewed (tests/authorization.txt); it is\n{table}"
    );
}

#[test]
fn a_viewer_changes_nothing_and_sees_everything_but_tokens() {
    for operation in Operation::ALL {
        let permitted =
            authorization::permit(*operation, &someone(PrincipalKind::Human), Role::Viewer);
        let kept = *operation == Operation::TokenList;
        assert_eq!(
            permitted.is_ok(),
            !operation.mutates() && !kept,
            "{}",
            operation.as_str()
        );
    }
}

#[test]
fn more_of_a_role_never_permits_less() {
    for operation in Operation::ALL {
        for kind in PrincipalKind::ALL {
            let permitted = Role::ALL
                .map(|role| authorization::permit(*operation, &someone(kind), role).is_ok());
            assert!(permitted.is_sorted(), "{} {kind}", operation.as_str());
        }
    }
}

/// L74, D-ART-4: whatever their role is.
#[test]
fn agents_and_pipelines_never_approve_promote_enable_or_release() {
    let deciding = [
        Operation::ApprovalDecide,
        Operation::ApprovalLink,
        Operation::ArtifactApprove,
        Operation::ArtifactReject,
        Operation::ArtifactRequestChanges,
        Operation::ArtifactSecurityReview,
        Operation::ArtifactPromote,
        Operation::ArtifactRollback,
        Operation::ScheduleEnable,
        Operation::ScheduleResume,
        Operation::ScheduleDeploy,
        Operation::GateVerifyRun,
        Operation::SourceResume,
        Operation::Release,
        Operation::SecretSet,
        Operation::PrincipalSet,
    ];
    for operation in deciding {
        for kind in [
            PrincipalKind::Agent,
            PrincipalKind::Ci,
            PrincipalKind::System,
        ] {
            for role in Role::ALL {
                let denied = authorization::permit(operation, &someone(kind), role).unwrap_err();
                assert_eq!(denied.code, ErrorCode::Forbidden);
                let rule = authorization::rule(operation).humans_only;
                assert_eq!(Some(denied.rule.as_str()), rule, "{}", operation.as_str());
            }
        }
    }
}

#[test]
fn a_denial_says_who_what_and_which_role() {
    let ada = someone(PrincipalKind::Human);
    let denied = authorization::permit(Operation::SecretSet, &ada, Role::Approver).unwrap_err();
    assert_eq!(
        denied.to_string(),
        "human:x has the role `approver`, and `secret.set` needs `admin` (D-AUDIT-2)"
    );
    let agent = someone(PrincipalKind::Agent);
    let denied = authorization::permit(Operation::Release, &agent, Role::Admin).unwrap_err();
    assert_eq!(
        denied.to_string(),
        "agent:x may not do `stop.release`: only a person may (D-STOP-3)"
    );
}
