//! From the settings of a lane to the objects that hold its secrets (D-SEC-2).

use moorline_api::ApiError;
use moorline_core::config::{LaneSettings, Settings};
use moorline_core::error_code::ErrorCode;
use moorline_secrets::backend::SecretPlace;
use moorline_secrets::{LaneSecrets, NameError, SecretName, SecretRef, check_lanes};

use crate::configuration::naming;
use crate::secrets::refused;

/// How a lane names its secrets.
///
/// # Errors
/// A prefix or a bundle's name that no object can have.
pub(crate) fn lane_secrets(settings: &LaneSettings) -> Result<LaneSecrets, ApiError> {
    let policy = naming(&settings.secrets).map_err(|error| refused(&error))?;
    Ok(LaneSecrets {
        lane: settings.rules.lane.to_string(),
        is_prod: settings.production,
        environment: settings.modal_environment.clone(),
        policy,
    })
}

/// Refuses settings by which a run of another lane could name a secret of production (D-SEC-7).
///
/// # Errors
/// The first such pair of lanes.
pub(crate) fn check(settings: &Settings) -> Result<(), ApiError> {
    let lanes: Vec<LaneSecrets> = settings
        .lanes
        .values()
        .map(lane_secrets)
        .collect::<Result<_, _>>()?;
    check_lanes(&lanes).map_err(|error| refused(&error))
}

/// The logical secret that a person names: `chase-session`, or `OPENAI_API_KEY`.
pub(crate) fn secret_named(text: &str) -> Result<SecretRef, ApiError> {
    let name: Result<SecretName, NameError> = text.parse();
    name.map(SecretRef::new).map_err(|error| {
        ApiError::new(ErrorCode::Usage, format!("{error} (D-SEC-1)"))
            .hint("give the name that jobs declare, with its type behind a hyphen: `chase-session`")
    })
}

/// Where a secret of a lane is kept.
pub(crate) fn place(lane: &LaneSecrets, secret: &SecretRef) -> Result<SecretPlace, ApiError> {
    let object = lane.policy.object_name(secret, &lane.lane);
    Ok(SecretPlace {
        lane: lane.lane.clone(),
        environment: lane.environment.clone(),
        object: object.map_err(|error| refused(&error))?,
    })
}

#[cfg(test)]
mod tests {
    use moorline_core::config::SecretNaming;
    use moorline_core::lane::{Lane, LaneRules};

    use super::*;

    fn settings(secrets: SecretNaming, environment: &str) -> LaneSettings {
        LaneSettings {
            secrets,
            modal_environment: environment.to_owned(),
            ..LaneSettings::of(LaneRules::PROD)
        }
    }

    #[test]
    fn every_policy_of_the_settings_names_objects() {
        let named = |secrets: SecretNaming| {
            let lane = lane_secrets(&settings(secrets, "main")).unwrap();
            let secret = secret_named("chase-session").unwrap();
            let place = place(&lane, &secret).unwrap();
            (place.environment, place.object.to_string())
        };
        for (policy, object) in [
            (
                SecretNaming::Prefixed {
                    prefix: "BANK".to_owned(),
                    with_lane: true,
                },
                "BANK_PROD_CHASE_SESSION",
            ),
            (SecretNaming::EnvVarName {}, "CHASE_SESSION"),
            (SecretNaming::Kebab {}, "chase-session"),
            (
                SecretNaming::Bundle {
                    object: "all".to_owned(),
                },
                "all",
            ),
        ] {
            assert_eq!(named(policy), ("main".to_owned(), object.to_owned()));
        }
        let odd = SecretNaming::Prefixed {
            prefix: "bank!".to_owned(),
            with_lane: false,
        };
        assert_eq!(
            lane_secrets(&settings(odd, "main")).unwrap_err().code,
            ErrorCode::Config
        );
    }

    /// L57: the built-in lanes are apart, and settings that join prod with another lane are refused.
    #[test]
    fn lanes_that_could_name_a_secret_of_prod_are_refused() {
        let mut all = Settings::default();
        assert!(check(&all).is_ok());
        for lane in all.lanes.values_mut() {
            lane.modal_environment = "main".to_owned();
        }
        let error = check(&all).unwrap_err();
        assert!(error.message.contains("D-SEC-7"), "{}", error.message);
        let staging = all.lanes.remove(&Lane::STAGING);
        assert!(staging.is_some() && check(&all).is_err());
    }
}
