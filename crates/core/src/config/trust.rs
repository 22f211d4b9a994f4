//! What a layer above the project's file may say.
//!
//! The project's file is reviewed with the code, and says what a lane demands and who may do what. The
//! user's file, the environment and the flags belong to one machine: they may demand more, add lanes and
//! alert destinations, and say where things are; they take nothing away that the project demands.

use super::lanes::looser_than;
use super::layer::Origin;
use super::problem::Problem;
use super::resolve::Resolved;
use crate::principal::{Principal, PrincipalKind, Role};

/// Keys that one place decides, since neither of two values is the stricter one.
const DECIDED: [&str; 4] = ["extends", "modal_environment", "secrets", "egress"];

/// What the layers above the project's file take away from it.
pub(super) fn check(project: &Resolved, all: &Resolved, problems: &mut Vec<Problem>) {
    let mut refuse = |key: String, message: &str| {
        let problem = Problem::new(all.origin_of(&key), key, "D-AUDIT-2", message);
        problems.push(problem.hint("only the project's `moorline.toml` can say that"));
    };
    for (name, before) in &project.settings.lanes {
        let Some(after) = all.settings.lanes.get(name) else {
            continue;
        };
        for field in looser_than(after, before) {
            let key = format!("lanes.{name}.{field}");
            if from_above(all, &key) {
                refuse(key, "permits more than the project does");
            }
        }
    }
    for entry in &project.entries {
        let decided = match entry.key.split_once('.') {
            Some(("lanes", rest)) => {
                let field = rest.split_once('.').map_or("", |(_, field)| field);
                DECIDED.contains(&field) && field != "egress"
            }
            Some(("alerts", _)) => true,
            // What starts a job in it from outside.
            Some(("server", field)) => field.starts_with("incoming"),
            Some(("app_names", field)) => !field.starts_with("dev_prefix"),
            _ => false,
        };
        let written = matches!(entry.origin, Origin::Project { .. });
        if decided && written && entry.inherited_from.is_none() && from_above(all, &entry.key) {
            refuse(entry.key.clone(), "is decided by the project");
        }
    }
    roles(project, all, &mut refuse);
    if project.settings.review.two_person && !all.settings.review.two_person {
        refuse(
            "review.two_person".to_owned(),
            "permits more than the project does",
        );
    }
}

fn roles(project: &Resolved, all: &Resolved, refuse: &mut dyn FnMut(String, &str)) {
    let higher = "gives a higher role than the project does";
    if all.settings.default_role > project.settings.default_role {
        refuse("default_role".to_owned(), higher);
    }
    for (principal, role) in &all.settings.principals {
        if *role > role_in(project, principal) {
            refuse(format!("principals.\"{principal}\""), higher);
        }
    }
}

/// The role that the project gives, by name or by kind.
fn role_in(project: &Resolved, principal: &Principal) -> Role {
    let named = project.settings.principals.get(principal);
    named.copied().unwrap_or_else(|| match principal.kind() {
        PrincipalKind::Human => project.settings.default_role,
        PrincipalKind::Agent | PrincipalKind::Ci => Role::Operator,
        PrincipalKind::System => Role::Admin,
    })
}

/// Whether a key was last set above the project's file.
fn from_above(all: &Resolved, key: &str) -> bool {
    !matches!(all.origin_of(key), Origin::Default | Origin::Project { .. })
}
