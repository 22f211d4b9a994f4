//! Typed identifiers: UUIDv7 (RFC 9562) under a type of their own, so that a run id is never taken for
//! an attempt id. Text form is the plain hyphenated UUID; order of creation is order of text.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The text is not an id of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id (of: {kind}): give the UUID that `runs list` shows")]
pub struct IdError {
    kind: &'static str,
    text: String,
}

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID that an [`Ids`](crate::clock::Ids) source made.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID itself.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::parse_str(text)
                    .map(Self)
                    .map_err(|_| IdError { kind: $kind, text: text.to_owned() })
            }
        }
    };
}

typed_id!(
    /// One execution of one job version.
    RunId,
    "run"
);
typed_id!(
    /// One launch of one step of a run.
    AttemptId,
    "attempt"
);
typed_id!(
    /// One process that drives runs: the holder of leases.
    DriverId,
    "driver"
);

typed_id!(
    /// One submission of a job directory for review.
    ArtifactId,
    "artifact"
);
typed_id!(
    /// One piece of evidence for a gate.
    EvidenceId,
    "evidence"
);
typed_id!(
    /// One promotion or rollback of a lane.
    PromotionId,
    "promotion"
);
typed_id!(
    /// One emergency.
    EmergencyId,
    "emergency"
);
typed_id!(
    /// One refusal that was recorded.
    RefusalId,
    "refusal"
);
typed_id!(
    /// One alert.
    AlertId,
    "alert"
);
typed_id!(
    /// One alert on its way to one destination; the same at every attempt.
    DeliveryId,
    "delivery"
);

typed_id!(
    /// One request for a person's decision.
    ApprovalId,
    "approval"
);
typed_id!(
    /// One token.
    TokenId,
    "token"
);

impl ApprovalId {
    /// The id of a run's `ordinal`-th request, counted from 0: opened at `at`, where no source of ids is at
    /// hand, in the transition of the run.
    pub fn derived(at: jiff::Timestamp, run: RunId, ordinal: u32) -> Self {
        let mut seed = run.uuid().as_bytes().to_vec();
        seed.extend(ordinal.to_be_bytes());
        Self(derived(at, &seed))
    }
}

fn derived(at: jiff::Timestamp, seed: &[u8]) -> Uuid {
    let hash = blake3::hash(seed);
    let mut random = [0; 10];
    random.copy_from_slice(hash.as_bytes().split_at(10).0);
    let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

impl AlertId {
    /// The id of an alert that is raised where no source of ids is at hand, in the transaction of a store:
    /// the time, and a hash of `seed`, which must not occur twice.
    pub fn derived(at: jiff::Timestamp, seed: &[u8]) -> Self {
        Self(derived(at, seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_through_text_and_json() {
        let id = RunId::new(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));
        assert_eq!(id.to_string().parse::<RunId>().unwrap(), id);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, "\"01900000-0000-7000-8000-000000000001\"");
        assert_eq!(serde_json::from_str::<RunId>(&json).unwrap(), id);
    }

    #[test]
    fn a_wrong_id_names_its_kind_and_text() {
        let error = "latest".parse::<AttemptId>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`latest` is not an id (of: attempt): give the UUID that `runs list` shows"
        );
    }
}
