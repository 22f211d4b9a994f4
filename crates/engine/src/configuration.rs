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

#[cfg(test)]
mod tests {
    use moorline_core::config::ConfigFile;
    use moorline_secrets::{SecretName, SecretRef};
    use proptest::prelude::*;

    use super::*;

    fn project(text: &str) -> Layers {
        Layers {
            project: Some(ConfigFile {
                path: "moorline.toml".to_owned(),
                text: text.to_owned(),
            }),
            ..Layers::default()
        }
    }

    #[test]
    fn the_defaults_keep_lanes_apart() {
        assert!(configure(&Layers::default()).is_ok());
    }

    #[test]
    fn a_lane_that_could_name_a_secret_of_production_is_refused_with_both_names() {
        let shared = project(
            "[lanes.dev]\nmodal_environment = \"Shared\"\n[lanes.prod]\nmodal_environment = \"shared\"\n",
        );
        assert_eq!(
            configure(&shared).unwrap_err().to_string(),
            "moorline.toml:4: lanes.prod.modal_environment: lane `dev` could name a secret of lane \
             `prod`, as both are in Modal environment `shared` (D-SEC-7); give each a Modal \
             environment of its own, or names that differ by a prefix"
        );
        let apart = project(
            "[lanes.dev]\nmodal_environment = \"main\"\n\
             secrets = { policy = \"prefixed\", prefix = \"TRIAL\", with_lane = false }\n",
        );
        assert!(configure(&apart).is_ok());
    }

    #[test]
    fn a_name_that_no_object_can_have_is_refused() {
        let wrong = project(
            "[lanes.dev]\nsecrets = { policy = \"prefixed\", prefix = \"small\", with_lane = false }\n",
        );
        let problems = configure(&wrong).unwrap_err().to_string();
        assert!(
            problems.starts_with("moorline.toml:2: lanes.dev.secrets: `small` is not a prefix"),
            "{problems}"
        );
        assert!(problems.ends_with("(D-SEC-2)"), "{problems}");
    }

    fn policy() -> impl Strategy<Value = String> {
        prop_oneof![
            (
                prop::sample::select(vec!["A", "A_B", "A_B_DEV"]),
                any::<bool>()
            )
                .prop_map(|(prefix, with_lane)| format!(
                    "{{ policy = \"prefixed\", prefix = \"{prefix}\", with_lane = {with_lane} }}"
                )),
            Just("{ policy = \"env_var_name\" }".to_owned()),
            Just("{ policy = \"kebab\" }".to_owned()),
            prop::sample::select(vec!["all", "A_B_C", "b-c"])
                .prop_map(|object| format!("{{ policy = \"bundle\", object = \"{object}\" }}")),
        ]
    }

    fn lane(name: &'static str) -> impl Strategy<Value = String> {
        let place = prop::sample::select(vec!["main", "Main", "shared", "own"]);
        let parent = prop::sample::select(vec!["dev", "prod"]);
        (policy(), place, parent).prop_map(move |(policy, place, parent)| {
            let extends = match name {
                "dev" | "prod" => String::new(),
                _ => format!("extends = \"{parent}\"\n"),
            };
            format!(
                "[lanes.{name}]\n{extends}modal_environment = \"{place}\"\nsecrets = {policy}\n"
            )
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// L57, D-SEC-7: for no configuration does a lane that is not production name a secret object of
        /// one that is.
        #[test]
        fn no_lane_names_a_secret_of_production(
            lanes in (lane("dev"), lane("prod"), lane("qa"), lane("live")),
            one in "[a-z]{1,4}(-[a-z]{1,4})?",
            other in "[a-z]{1,4}(-[a-z]{1,4})?",
        ) {
            let text = format!("{}{}{}{}", lanes.0, lanes.1, lanes.2, lanes.3);
            let Ok(resolved) = configure(&project(&text)) else {
                return Ok(());
            };
            let named = |lane: &moorline_core::config::LaneSettings, secret: &str| {
                let secret = SecretRef::new(secret.parse::<SecretName>().unwrap());
                let object = naming(&lane.secrets).unwrap();
                let object = object.object_name(&secret, lane.rules.lane.as_str()).unwrap();
                (lane.modal_environment.to_ascii_lowercase(), object.to_string())
            };
            let lanes = resolved.settings.lanes;
            for prod in lanes.values().filter(|lane| lane.production) {
                for dev in lanes.values().filter(|lane| !lane.production) {
                    prop_assert_ne!(named(dev, &one), named(prod, &other), "{}", text);
                }
            }
        }
    }
}
