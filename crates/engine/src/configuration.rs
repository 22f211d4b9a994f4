//! Settings from their layers, with what only the secrets know: how objects may be called (`D-SEC-2`), and
//! that no lane can name what is production's (`D-SEC-7`).

use moorline_core::config::{Layers, Origin, Problem, Problems, Resolved, SecretNaming, resolve};
use moorline_secrets::{LaneError, LaneSecrets, NameError, NamingPolicy, check_lanes};

/// The settings of these layers.
///
/// # Errors
/// Everything that is wrong with them, as [`resolve`]; and `D-SEC-2` for a name that no object can have,
/// `D-SEC-7` for two lanes of which one could name a secret of the other.
pub fn configure(layers: &Layers) -> Result<Resolved, Problems> {
    let resolved = resolve(layers)?;
    let mut problems = Vec::new();
    let mut lanes = Vec::new();
    for (name, lane) in &resolved.settings.lanes {
        match naming(&lane.secrets) {
            Ok(policy) => lanes.push(LaneSecrets {
                lane: name.to_string(),
                is_prod: lane.production,
                // Modal may or may not tell them apart by case; what we can not know is not relied on.
                environment: lane.modal_environment.to_ascii_lowercase(),
                policy,
            }),
            Err(error) => {
                let key = format!("lanes.{name}.secrets");
                let at = resolved.origin_of(&key);
                problems.push(Problem::new(at, key, "D-SEC-2", error.to_string()));
            }
        }
    }
    if let Err(error) = check_lanes(&lanes) {
        problems.push(overlap(&resolved, &error));
    }
    Problems::of(problems).map_or(Ok(resolved), Err)
}

fn overlap(resolved: &Resolved, error: &LaneError) -> Problem {
    let (key, at, message) = match error {
        LaneError::Overlap {
            lane,
            prod,
            environment,
        } => {
            let message = format!(
                "lane `{lane}` could name a secret of lane `{prod}`, as both are in Modal environment \
                 `{environment}`"
            );
            let keys = [lane, prod].map(|lane| {
                ["modal_environment", "secrets"].map(|field| format!("lanes.{lane}.{field}"))
            });
            // The one that somebody wrote; what is built in overlaps with nothing.
            let written = keys
                .into_iter()
                .flatten()
                .map(|key| (resolved.origin_of(&key), key))
                .max();
            let (at, key) = written.unwrap_or((Origin::Default, String::new()));
            (key, at, message)
        }
        other => (String::new(), Origin::Default, other.to_string()),
    };
    Problem::new(at, key, "D-SEC-7", message)
        .hint("give each a Modal environment of its own, or names that differ by a prefix")
}

/// The policy that a setting names.
pub(crate) fn naming(naming: &SecretNaming) -> Result<NamingPolicy, NameError> {
    Ok(match naming {
        SecretNaming::Prefixed { prefix, with_lane } => NamingPolicy::Prefixed {
            prefix: prefix.parse()?,
            with_lane: *with_lane,
        },
        SecretNaming::EnvVarName {} => NamingPolicy::EnvVarName {},
        SecretNaming::Kebab {} => NamingPolicy::Kebab {},
        SecretNaming::Bundle { object } => NamingPolicy::Bundle {
            object: object.parse()?,
        },
    })
}
