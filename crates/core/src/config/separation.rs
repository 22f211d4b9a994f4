//! No lane reaches the apps of production (`D-REF-7`), whatever is configured (L57).
//!
//! An app is found by environment and name. A lane's names are all those that end in its suffix, since an
//! override can be any of them; so two lanes can meet where they share an environment and one suffix ends
//! in the other. The secrets of lanes are kept apart by `moorline_secrets::check_lanes` (`D-SEC-7`).

use super::problem::Problem;
use super::resolve::Resolved;
use super::{LaneSettings, Settings};
use crate::app_name::LaneScope;
use crate::lane::Lane;

/// Refuses configurations in which another lane could name an app of a production lane.
pub(super) fn check(resolved: &Resolved, problems: &mut Vec<Problem>) {
    let Settings {
        lanes, app_names, ..
    } = &resolved.settings;
    let production = |(_, lane): &(&Lane, &LaneSettings)| lane.production;
    for (prod, prod_lane) in lanes.iter().filter(production) {
        let others = lanes.iter().filter(|other| {
            // Two production lanes are told of once.
            other.0 != prod && !(production(other) && other.0 < prod)
        });
        for (other, other_lane) in others {
            let environment = prod_lane
                .modal_environment
                .eq_ignore_ascii_case(&other_lane.modal_environment);
            let (a, b) = (format!("-{prod}"), format!("-{other}"));
            let suffix = a.ends_with(&b) || b.ends_with(&a);
            let (meet, field) = match app_names.scope {
                LaneScope::ModalEnvironment => (environment, "modal_environment"),
                LaneScope::AppSuffix => (suffix, "extends"),
                LaneScope::Both => (environment && suffix, "modal_environment"),
            };
            if !meet {
                continue;
            }
            let key = format!("lanes.{other}.{field}");
            let message = format!("lane `{other}` could name an app of lane `{prod}`");
            let hint = match field {
                "extends" => "rename one of them: no name may end in the other's",
                _ => "give each a Modal environment of its own",
            };
            let origin = match resolved.origin_of(&key) {
                super::Origin::Default => resolved.origin_of(&format!("lanes.{prod}.{field}")),
                origin => origin,
            };
            problems.push(Problem::new(origin, key, "D-REF-7", message).hint(hint));
        }
    }
}
