//! What a lane demands of a spec on top of the rules of every lane.

use crate::image::ImageRef;
use crate::lane::LaneRules;
use crate::spec::document::JobSpec;
use crate::spec::egress::Egress;
use crate::spec::policy::Permission;
use crate::spec::violation::{Violation, Violations};

/// The executor that runs steps without an image.
const LOCAL: &str = "local";

/// Checks a loaded spec against the demands of a lane: pinned images, stated egress, no installing of
/// dependencies, no interactive step (D-SPEC-3).
///
/// # Errors
/// Everything that the lane refuses, at once. A lane that demands nothing refuses nothing.
///
/// ```
/// use moorline_core::lane::LaneRules;
/// use moorline_core::spec;
///
/// let spec = spec::load(br#"{"job_id": "j", "steps": [{"name": "a", "argv": ["true"]}]}"#)?;
/// assert!(spec::validate_for_lane(&spec, &LaneRules::DEV).is_ok());
/// let refused = spec::validate_for_lane(&spec, &LaneRules::PROD).unwrap_err();
/// assert_eq!(refused.iter().map(|v| v.rule.as_str()).collect::<Vec<_>>(), ["D-SPEC-3l"]);
/// # Ok::<(), moorline_core::spec::Violations>(())
/// ```
pub fn validate_for_lane(spec: &JobSpec, rules: &LaneRules) -> Result<(), Violations> {
    let mut found = Vec::new();
    if rules.requires_egress_list {
        egress(spec, rules, &mut found);
    }
    for (index, step) in spec.steps().iter().enumerate() {
        let pointer = format!("/steps/{index}");
        let mut refuse = |field: &str, rule: &str, message: String| {
            found.push(Violation::new(format!("{pointer}/{field}"), rule, message));
        };
        if step.interactive && !rules.interactive {
            let message = format!("is not allowed in lane `{}`", rules.lane);
            refuse("interactive", "D-SPEC-3n", message);
        }
        if step.installs_dependencies && !rules.dynamic_installs {
            let message = format!(
                "is not allowed in lane `{}`: install into the image",
                rules.lane
            );
            refuse("installs_dependencies", "D-SPEC-3m", message);
        }
        if rules.requires_pinned_images {
            match &step.image {
                Some(image) => check_image(&pointer, image, true, &mut found),
                None if step.executor.as_deref().is_some_and(|name| name != LOCAL) => {
                    let message = format!("is required in lane `{}`, pinned by digest", rules.lane);
                    refuse("image", "D-SPEC-3k", message);
                }
                None => {}
            }
        }
    }
    let installs = spec.tool_permissions.install_dependencies;
    if installs == Some(Permission::Allowed) && !rules.dynamic_installs {
        let message = format!("must not be `allowed` in lane `{}`", rules.lane);
        let pointer = "/tool_permissions/install_dependencies";
        found.push(Violation::new(pointer, "D-SPEC-3m", message));
    }
    Violations::of(found).map_or(Ok(()), Err)
}

fn egress(spec: &JobSpec, rules: &LaneRules, found: &mut Vec<Violation>) {
    let mut refuse = |pointer: String, what: &str| {
        let message = format!("{what} in lane `{}`", rules.lane);
        let hint =
            "`\"none\"`, or `{\"allow\": [\"api.example.com:443\"]}` with what the job needs";
        found.push(Violation::new(pointer, "D-SPEC-3l", message).with_hint(hint));
    };
    let unbounded = "must not reach every host";
    if spec.egress.as_ref().is_some_and(Egress::is_unbounded) {
        refuse("/egress".to_owned(), unbounded);
    }
    for (index, step) in spec.steps().iter().enumerate() {
        if step.egress.as_ref().is_some_and(Egress::is_unbounded) {
            refuse(format!("/steps/{index}/egress"), unbounded);
        }
    }
    let unstated = spec.steps().is_empty() || spec.steps().iter().any(|step| step.egress.is_none());
    if spec.egress.is_none() && unstated {
        refuse("/egress".to_owned(), "is required");
    }
}

/// Checks the image of the step at `pointer`: its form, and the digest where it must be pinned (L05).
pub(super) fn check_image(pointer: &str, image: &str, pinned: bool, found: &mut Vec<Violation>) {
    let message = match image.parse::<ImageRef>() {
        Err(_) => "is not an image reference",
        Ok(image) if pinned && !image.is_pinned() => "must be pinned by digest",
        Ok(_) => return,
    };
    let violation = Violation::new(format!("{pointer}/image"), "D-SPEC-3k", message);
    found.push(violation.with_hint("write `repository@sha256:` and 64 lower-case hex digits"));
}
