//! Which objects hold the secrets of a lane, and that no other lane can reach those of production
//! (`D-SEC-7`).

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{ERR_CONFIG, Refusal};
use crate::name::{EnvKey, NameError, is_words};
use crate::policy::{NamingPolicy, ObjectName};
use crate::reference::{SecretRef, SecretRequirement};

/// How one lane names and keeps its secrets. Plain data, that the configuration of lanes is turned
/// into.
///
/// ```
/// use moorline_secrets::{LaneSecrets, NamingPolicy, check_lanes};
///
/// let lane = |lane: &str, environment: &str| LaneSecrets {
///     lane: lane.to_owned(),
///     is_prod: lane == "prod",
///     environment: environment.to_owned(),
///     policy: NamingPolicy::EnvVarName {},
/// };
/// assert!(check_lanes(&[lane("dev", "dev"), lane("prod", "main")]).is_ok());
/// // The same names in the same environment: a run in `dev` would be given what is production's.
/// assert!(check_lanes(&[lane("dev", "main"), lane("prod", "main")]).is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneSecrets {
    /// The name of the lane.
    pub lane: String,
    /// Whether it is the lane whose objects no other lane may reach.
    pub is_prod: bool,
    /// The Modal environment that the objects are in; empty for the workspace's default one.
    pub environment: String,
    /// How objects are named.
    pub policy: NamingPolicy,
}

/// One object, and what of it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretObject {
    /// The Modal environment that it is in; empty for the workspace's default one.
    pub environment: String,
    /// Its name.
    pub name: ObjectName,
    /// The keys that it must have. Presence is checked per key.
    pub keys: BTreeSet<EnvKey>,
}

impl LaneSecrets {
    /// The objects that these secrets are in, sorted by name.
    ///
    /// # Errors
    /// A name that Modal does not take, or two secrets that would be one: the same object for two
    /// secrets, or the same key twice in a bundle.
    pub fn objects(
        &self,
        requirements: &[SecretRequirement],
    ) -> Result<Vec<SecretObject>, ObjectsError> {
        let bundle = matches!(self.policy, NamingPolicy::Bundle { .. });
        let mut objects: BTreeMap<ObjectName, BTreeMap<&EnvKey, &SecretRef>> = BTreeMap::new();
        for requirement in requirements {
            let secret = requirement.secret();
            let name = self.policy.object_name(secret, &self.lane)?;
            let held = objects.entry(name.clone()).or_default();
            // Secrets share a bundle, but not a key of it; any other object is one secret's.
            let taken = if bundle {
                requirement.keys().iter().find_map(|key| held.get(key))
            } else {
                held.values().next()
            };
            if let Some(&first) = taken.filter(|first| **first != secret) {
                let (first, second) = (first.clone(), secret.clone());
                return Err(ObjectsError::Collision {
                    object: name,
                    first,
                    second,
                });
            }
            held.extend(requirement.keys().iter().map(|key| (key, secret)));
        }
        Ok(objects
            .into_iter()
            .map(|(name, keys)| SecretObject {
                environment: self.environment.clone(),
                name,
                keys: keys.into_keys().cloned().collect(),
            })
            .collect())
    }

    /// Whether the policy alone shows that an object of that name is of this lane. Where names are taken
    /// from what they are for (`env_var_name`, `kebab`), nothing shows it: others use such names too.
    ///
    /// # Errors
    /// A lane whose name no object can show.
    pub fn claims(&self, object: &ObjectName) -> Result<bool, NameError> {
        Ok(match &self.policy {
            NamingPolicy::Prefixed { .. } => {
                object.as_str().starts_with(&self.policy.stem(&self.lane)?)
            }
            NamingPolicy::EnvVarName {} | NamingPolicy::Kebab {} => false,
            NamingPolicy::Bundle { object: bundle } => bundle == object,
        })
    }

    /// All the names that this lane can give to objects.
    fn reach(&self) -> Result<Reach<'_>, NameError> {
        Ok(match &self.policy {
            NamingPolicy::Prefixed { .. } | NamingPolicy::EnvVarName {} => Reach::UpperSnake {
                stem: self.policy.stem(&self.lane)?,
            },
            NamingPolicy::Kebab {} => Reach::Kebab,
            NamingPolicy::Bundle { object } => Reach::Only(object.as_str()),
        })
    }
}

/// A set of names.
enum Reach<'a> {
    /// Upper-case words joined by `_` after this beginning.
    UpperSnake { stem: String },
    /// Lower-case words joined by `-`.
    Kebab,
    /// Just this one.
    Only(&'a str),
}

impl Reach<'_> {
    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::UpperSnake { stem: a }, Self::UpperSnake { stem: b }) => {
                a.starts_with(b.as_str()) || b.starts_with(a.as_str())
            }
            (Self::Kebab, Self::Kebab) => true,
            (Self::Only(a), Self::Only(b)) => a == b,
            // No name is in both cases: each has a letter at its beginning.
            (Self::UpperSnake { .. }, Self::Kebab) | (Self::Kebab, Self::UpperSnake { .. }) => {
                false
            }
            (Self::Only(name), Self::UpperSnake { stem })
            | (Self::UpperSnake { stem }, Self::Only(name)) => {
                name.starts_with(stem.as_str()) && is_words(name, &['_'], char::is_ascii_uppercase)
            }
            (Self::Only(name), Self::Kebab) | (Self::Kebab, Self::Only(name)) => {
                is_words(name, &['-'], char::is_ascii_lowercase)
            }
        }
    }
}

/// Refuses lanes of which one that is not production could name an object of one that is
/// (`D-SEC-7`), whatever the secrets are called: in one environment their policies must not be able
/// to make the same name.
///
/// # Errors
/// The first such pair, or a lane whose name no object can show.
pub fn check_lanes(lanes: &[LaneSecrets]) -> Result<(), LaneError> {
    for prod in lanes.iter().filter(|lane| lane.is_prod) {
        for other in lanes.iter().filter(|lane| !lane.is_prod) {
            if prod.environment == other.environment && prod.reach()?.meets(&other.reach()?) {
                return Err(LaneError::Overlap {
                    lane: other.lane.clone(),
                    prod: prod.lane.clone(),
                    environment: prod.environment.clone(),
                });
            }
        }
    }
    Ok(())
}

/// Why the secrets of a job have no objects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectsError {
    /// A name that Modal does not take.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Two secrets that would be one.
    #[error("secrets `{first}` and `{second}` would be the same in object `{object}` (D-SEC-1)")]
    Collision {
        /// The object.
        object: ObjectName,
        /// The secret that came first.
        first: SecretRef,
        /// The other.
        second: SecretRef,
    },
}

/// Why the lanes can not be used together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LaneError {
    /// A lane whose name no object can show.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A lane that could name an object of production.
    #[error(
        "lane `{lane}` could name a secret of lane `{prod}`, as both are in Modal environment \
         `{environment}` (D-SEC-7)"
    )]
    Overlap {
        /// The lane that is not production.
        lane: String,
        /// The lane that is.
        prod: String,
        /// The environment that both use.
        environment: String,
    },
}

impl Refusal for ObjectsError {
    fn code(&self) -> &'static str {
        ERR_CONFIG
    }

    fn rule(&self) -> &'static str {
        match self {
            Self::Name(name) => name.rule(),
            Self::Collision { .. } => "D-SEC-1",
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Name(name) => name.hint(),
            Self::Collision { .. } => {
                "rename one of the secrets, or give it another key".to_owned()
            }
        }
    }
}

impl Refusal for LaneError {
    fn code(&self) -> &'static str {
        ERR_CONFIG
    }

    fn rule(&self) -> &'static str {
        match self {
            Self::Name(name) => name.rule(),
            Self::Overlap { .. } => "D-SEC-7",
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Name(name) => name.hint(),
            Self::Overlap { .. } => {
                "give each lane its own Modal environment, or the `prefixed` policy with `with_lane`".to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy() -> impl Strategy<Value = NamingPolicy> {
        let prefix = prop_oneof![Just("A"), Just("A_DEV"), Just("A_PROD"), Just("B")];
        prop_oneof![
            (prefix, any::<bool>()).prop_map(|(prefix, with_lane)| NamingPolicy::Prefixed {
                prefix: prefix.parse().unwrap(),
                with_lane
            }),
            Just(NamingPolicy::EnvVarName {}),
            Just(NamingPolicy::Kebab {}),
            prop_oneof!["[ab]-[ab]", "A(_DEV|_PROD)?_[AB]", "[a-b.]{1,3}"].prop_map(|object| {
                NamingPolicy::Bundle {
                    object: object.parse().unwrap(),
                }
            }),
        ]
    }

    fn lane(names: &'static [&'static str], is_prod: bool) -> impl Strategy<Value = LaneSecrets> {
        (
            prop::sample::select(names),
            policy(),
            prop::sample::select(&["", "main"][..]),
        )
            .prop_map(move |(lane, policy, environment)| LaneSecrets {
                lane: lane.to_owned(),
                is_prod,
                environment: environment.to_owned(),
                policy,
            })
    }

    fn secret() -> impl Strategy<Value = SecretRef> {
        ("(dev-|prod-|a-)?[ab]", prop::option::of("[ab]")).prop_map(|(name, kind)| SecretRef {
            name: name.parse().unwrap(),
            kind: kind.map(|kind| kind.parse().unwrap()),
        })
    }

    proptest! {
        /// L57: in lanes that were accepted, no name of dev is one of prod.
        #[test]
        fn dev_names_never_resolve_to_prod_objects(
            dev in lane(&["dev", "pro-d", "dev-prod", "a"], false),
            prod in lane(&["prod"], true),
            one in secret(),
            other in secret(),
        ) {
            prop_assume!(check_lanes(&[dev.clone(), prod.clone()]).is_ok());
            let named = |lane: &LaneSecrets, secret| {
                (lane.environment.clone(), lane.policy.object_name(secret, &lane.lane).unwrap())
            };
            prop_assert_ne!(named(&dev, &one), named(&prod, &other));
        }

        /// L02, for secrets: whatever is rendered is what Modal takes, and is accepted again.
        #[test]
        fn every_rendered_name_is_one_that_modal_takes(
            lane in lane(&["dev", "staging-eu", "x--"], false),
            name in "[a-z][a-z0-9]{0,20}(-[a-z0-9]{1,20}){0,2}",
            kind in prop::option::of("[A-Z]{1,20}"),
        ) {
            let kind = kind.map(|kind| kind.parse().unwrap());
            let secret = SecretRef { name: name.parse().unwrap(), kind };
            if let Ok(object) = lane.policy.object_name(&secret, &lane.lane) {
                prop_assert!(object.as_str().len() <= 64 && !object.as_str().is_empty());
                prop_assert!(object.as_str().parse::<ObjectName>().is_ok());
            }
        }
    }

    fn named(lane: &str, environment: &str, policy: &str) -> LaneSecrets {
        LaneSecrets {
            lane: lane.to_owned(),
            is_prod: lane == "prod",
            environment: environment.to_owned(),
            policy: serde_json::from_str(policy).unwrap(),
        }
    }

    /// L57: which pairs of lanes are accepted.
    #[test]
    fn lanes_are_apart_by_environment_or_by_lane_part() {
        const LANE_PART: &str = r#"{"policy":"prefixed","with_lane":true}"#;
        const LANE_FREE: &str = r#"{"policy":"prefixed"}"#;
        const ENV: &str = r#"{"policy":"env_var_name"}"#;
        for (accepted, dev, prod) in [
            (true, named("dev", "dev", ENV), named("prod", "main", ENV)),
            (
                true,
                named("dev", "main", LANE_PART),
                named("prod", "main", LANE_PART),
            ),
            (
                true,
                named("dev", "", r#"{"policy":"kebab"}"#),
                named("prod", "", ENV),
            ),
            (false, named("dev", "main", ENV), named("prod", "main", ENV)),
            (
                false,
                named("dev", "main", LANE_FREE),
                named("prod", "main", LANE_PART),
            ),
            (
                false,
                named("pro-d", "main", LANE_PART),
                named("prod", "main", LANE_PART),
            ),
        ] {
            assert_eq!(
                check_lanes(&[dev.clone(), prod.clone()]).is_ok(),
                accepted,
                "{dev:?} {prod:?}"
            );
        }
    }

    #[test]
    fn an_overlap_is_told_with_both_lanes_and_what_to_do() {
        let env = r#"{"policy":"env_var_name"}"#;
        let lanes = [named("dev", "main", env), named("prod", "main", env)];
        assert_eq!(
            check_lanes(&lanes).unwrap_err().to_string(),
            "lane `dev` could name a secret of lane `prod`, as both are in Modal environment `main` \
             (D-SEC-7)"
        );
    }

    fn requirement(json: &str) -> SecretRequirement {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_bundle_holds_the_keys_of_all_secrets() {
        let lane = named("dev", "dev", r#"{"policy":"bundle","object":"all"}"#);
        let requirements = [
            requirement(
                r#"{"name":"REGISTRY_AUTH","keys":["REGISTRY_USERNAME","REGISTRY_PASSWORD"]}"#,
            ),
            requirement(r#"{"name":"OPENAI_API_KEY"}"#),
        ];
        let keys = ["OPENAI_API_KEY", "REGISTRY_PASSWORD", "REGISTRY_USERNAME"];
        assert_eq!(
            lane.objects(&requirements).unwrap(),
            [SecretObject {
                environment: "dev".to_owned(),
                name: "all".parse().unwrap(),
                keys: keys.map(|key| key.parse().unwrap()).into(),
            }]
        );
    }

    #[test]
    fn two_secrets_that_would_be_one_object_or_key_are_refused() {
        for (policy, one, other) in [
            (
                r#"{"policy":"kebab"}"#,
                r#"{"name":"a-b","keys":["X"]}"#,
                r#"{"name":"a","type":"b","keys":["Y"]}"#,
            ),
            (
                r#"{"policy":"bundle","object":"all"}"#,
                r#"{"name":"a","keys":["X"]}"#,
                r#"{"name":"b","keys":["X"]}"#,
            ),
        ] {
            let lane = named("dev", "dev", policy);
            let requirements = [requirement(one), requirement(other)];
            let error = lane.objects(&requirements).unwrap_err();
            assert!(matches!(error, ObjectsError::Collision { .. }), "{error}");
        }
    }
}
