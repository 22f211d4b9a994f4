//! Rules on the sources that a job reads.

use super::repeated;
use super::secrets::declared;
use crate::spec::document::JobType;
use crate::spec::parts::{Part, Parts};
use crate::spec::violation::Violation;

pub(super) fn check(parts: &Parts, found: &mut Vec<Violation>) {
    let ids = parts
        .entities
        .iter()
        .map(|(pointer, entity)| (pointer, entity.source_id.as_str()));
    repeated(ids, |pointer| {
        let violation = Violation::new(
            format!("{pointer}/source_id"),
            "D-SPEC-3d",
            "is the source of an earlier entry as well",
        );
        found.push(violation.with_hint("one entry for each source"));
    });
    browser_methods(parts, found);
    for (pointer, entity) in parts.entities.iter() {
        let researches = parts.job_type.get() == Some(&JobType::IntakeResearch);
        if entity.tier_hint == 2 && entity.reauth.is_none() && !researches {
            let message = "is required by a tier 2 source";
            let violation = Violation::new(format!("{pointer}/reauth"), "D-SPEC-3g", message);
            let hint = "say how a person renews its session: `{\"instructions\": \"…\"}`";
            found.push(violation.with_hint(hint));
        }
        for (index, artifact) in entity.session_artifacts.iter().enumerate() {
            let place = format!("{pointer}/session_artifacts/{index}/secret");
            declared(parts, &place, &artifact.secret, found);
        }
    }
}

fn browser_methods(parts: &Parts, found: &mut Vec<Violation>) {
    let allowed = match &parts.constraints {
        Part::Absent => false,
        Part::Broken => return,
        Part::Read(constraints) => constraints.browser_automation,
    };
    if allowed {
        return;
    }
    for (pointer, entity) in parts.entities.iter() {
        for (index, method) in entity.preferred_methods.iter().enumerate() {
            if method.needs_browser() {
                let place = format!("{pointer}/preferred_methods/{index}");
                let message = "drives a browser, which the job does not allow";
                let hint = "remove it, or set `constraints.browser_automation` to true";
                found.push(Violation::new(place, "D-SPEC-3f", message).with_hint(hint));
            }
        }
    }
}
