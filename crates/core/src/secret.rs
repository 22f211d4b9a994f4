//! What is known of the secrets of a lane: who set which key when, by which keyed hash a value is told from
//! another, and until when a session holds. Never a value.
//!
//! [`apply`] decides what a change comes to; [`SecretRecord::stage`] whether its expiry has to be told
//! (`D-SEC-9`). Both are pure functions of their arguments. Deliberately absent: values, and where they are
//! kept, which the back ends of `moorline-secrets` know.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::denial::{Denial, Detail};
use crate::error_code::ErrorCode;
use crate::ids::RunId;
use crate::lane::Lane;
use crate::principal::Principal;

/// One secret of one lane, as it was set last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretRecord {
    /// The lane that it is kept for.
    pub lane: Lane,
    /// The logical secret: name and kind in lower case, joined by `-` (`chase-session`).
    pub name: String,
    /// The object that holds it, as the lane's naming policy called it when it was set.
    pub object: String,
    /// The Modal environment of the object; empty for the workspace's default one.
    pub environment: String,
    /// The back end that keeps it: `file` or `modal`.
    pub backend: String,
    /// Its keys.
    pub keys: BTreeMap<String, SecretKeyRecord>,
    /// Until when it holds, if that is known.
    pub expires_at: Option<Timestamp>,
    /// How long before the end to warn, in hours.
    pub warn_hours: u32,
    /// The source whose session it is.
    pub source_id: Option<String>,
    /// What was told of its expiry so far.
    pub told: Option<ExpiryStage>,
}

/// One key of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretKeyRecord {
    /// The keyed hash of its value; tells whether a value is the same, and nothing else.
    pub fingerprint: String,
    /// Which key the hash was made with.
    pub key_id: String,
    /// When it was set.
    pub set_at: Timestamp,
    /// Who set it.
    pub by: Principal,
}

/// How near the end of its life a secret is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ExpiryStage {
    /// It ends within the warning time.
    Expiring,
    /// It has ended.
    Expired,
}

impl ExpiryStage {
    /// The name in JSON and in text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expiring => "expiring",
            Self::Expired => "expired",
        }
    }
}

/// What a change does to the keys that are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretChangeKind {
    /// Sets them, whether they are there or not.
    Set,
    /// Replaces them: each must be there, and its value must be another one.
    Rotate,
}

/// Keys of a secret that are set, by their keyed hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretChange {
    /// Set or rotated.
    pub kind: SecretChangeKind,
    /// The lane.
    pub lane: Lane,
    /// The logical secret.
    pub name: String,
    /// The object that holds it.
    pub object: String,
    /// The environment of the object.
    pub environment: String,
    /// The back end.
    pub backend: String,
    /// The keyed hash of each new value, by key.
    pub fingerprints: BTreeMap<String, String>,
    /// Which key the hashes are made with.
    pub key_id: String,
    /// Until when it holds; absent: a rotation of a secret that expires asks for one, a set forgets it.
    pub expires_at: Option<Timestamp>,
    /// How long before the end to warn, in hours; as it was when absent, at first 24.
    pub warn_hours: Option<u32>,
    /// The source whose session it is; as it was when absent.
    pub source_id: Option<String>,
}

/// Hours before the end of a secret's life at which its expiry is told, unless it was set otherwise.
pub const WARN_HOURS: u32 = 24;

/// What a change comes to.
///
/// # Errors
/// A rotation of what is not there, or to the value that is there already (`D-SEC-8`: a key that may be
/// known to others is only safe when it is another one), each key named.
pub fn apply(
    record: Option<&SecretRecord>,
    change: &SecretChange,
    actor: &Principal,
    now: Timestamp,
) -> Result<SecretRecord, Denial> {
    if change.kind == SecretChangeKind::Rotate {
        rotation(record, change)?;
    }
    if change.expires_at.is_some_and(|end| end <= now) {
        let message = format!("{} would have expired before it is set", change.name);
        return Err(Denial::new(ErrorCode::Usage, "D-SEC-9", message)
            .hint("give the time for which a fresh one holds"));
    }
    let mut keys = record.map_or_else(BTreeMap::new, |record| record.keys.clone());
    for (key, fingerprint) in &change.fingerprints {
        let set = SecretKeyRecord {
            fingerprint: fingerprint.clone(),
            key_id: change.key_id.clone(),
            set_at: now,
            by: actor.clone(),
        };
        keys.insert(key.clone(), set);
    }
    Ok(SecretRecord {
        lane: change.lane.clone(),
        name: change.name.clone(),
        object: change.object.clone(),
        environment: change.environment.clone(),
        backend: change.backend.clone(),
        keys,
        expires_at: change.expires_at,
        warn_hours: change
            .warn_hours
            .or_else(|| record.map(|record| record.warn_hours))
            .unwrap_or(WARN_HOURS),
        source_id: change
            .source_id
            .clone()
            .or_else(|| record.and_then(|record| record.source_id.clone())),
        told: None,
    })
}

fn rotation(record: Option<&SecretRecord>, change: &SecretChange) -> Result<(), Denial> {
    let mut details = Vec::new();
    for (key, fingerprint) in &change.fingerprints {
        let known = record.and_then(|record| record.keys.get(key));
        let (message, hint) = match known {
            None => (
                "it was never set here, so there is nothing to rotate",
                "set it first: `moorline secrets set`",
            ),
            Some(known) if known.fingerprint == *fingerprint && known.key_id == change.key_id => (
                "the value is the one that is there",
                "make a new one where it was issued",
            ),
            Some(_) => continue,
        };
        details.push(Detail {
            at: key.clone(),
            rule: "D-SEC-8".to_owned(),
            message: message.to_owned(),
            hint: Some(hint.to_owned()),
        });
    }
    if details.is_empty() {
        return Ok(());
    }
    let message = format!("{} of lane {} is not rotated", change.name, change.lane);
    Err(Denial::new(ErrorCode::Conflict, "D-SEC-8", message).with_details(details))
}

impl SecretRecord {
    /// How near its end it is; none while that is far, or not known.
    pub fn stage(&self, now: Timestamp) -> Option<ExpiryStage> {
        let end = self.expires_at?;
        if end <= now {
            return Some(ExpiryStage::Expired);
        }
        let warning = SignedDuration::from_hours(i64::from(self.warn_hours));
        let from = end.checked_sub(warning).unwrap_or(Timestamp::MIN);
        (from <= now).then_some(ExpiryStage::Expiring)
    }

    /// The stage that has to be told now: each is told once for each setting of the secret.
    pub fn to_tell(&self, now: Timestamp) -> Option<ExpiryStage> {
        self.stage(now).filter(|stage| self.told < Some(*stage))
    }
}

/// How far the re-authentication of a source has come in a lane (`D-SEC-9`). It is kept, so that one that
/// was interrupted goes on where it stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reauth {
    /// The source.
    pub source_id: String,
    /// The lane.
    pub lane: Lane,
    /// How far it has come.
    pub stage: ReauthStage,
    /// The secret that holds the session.
    pub secret: String,
    /// The probe run, once one was started.
    pub probe: Option<RunId>,
    /// Who does it.
    pub by: Principal,
    /// Since when.
    pub started_at: Timestamp,
    /// When the stage was reached.
    pub updated_at: Timestamp,
}

/// The stages of a re-authentication, in order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ReauthStage {
    /// A person is refreshing the session.
    Refreshing,
    /// The fresh session is in the secret; nothing has tried it yet.
    Stored,
    /// A run tries it.
    Probing,
    /// The run succeeded; the schedule waits for a person to enable it.
    Done,
    /// The run failed; the source still needs it.
    Failed,
}

impl ReauthStage {
    /// The name in JSON and in text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refreshing => "refreshing",
            Self::Stored => "stored",
            Self::Probing => "probing",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// Whether a fresh session waits to be tried, so that nobody has to sign on again.
    pub const fn is_waiting(self) -> bool {
        matches!(self, Self::Stored | Self::Probing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn ada() -> Principal {
        "human:ada".parse().unwrap()
    }

    fn change(kind: SecretChangeKind, hashes: &[(&str, &str)]) -> SecretChange {
        SecretChange {
            kind,
            lane: Lane::PROD,
            name: "chase-session".to_owned(),
            object: "LONG_HORIZON_AGENT_CHASE_SESSION".to_owned(),
            environment: "prod".to_owned(),
            backend: "file".to_owned(),
            fingerprints: hashes
                .iter()
                .map(|(key, hash)| ((*key).to_owned(), (*hash).to_owned()))
                .collect(),
            key_id: "k1".to_owned(),
            expires_at: None,
            warn_hours: None,
            source_id: None,
        }
    }

    #[test]
    fn setting_some_keys_keeps_the_others_with_who_set_them() {
        let bob: Principal = "human:bob".parse().unwrap();
        let (one, two) = (at("2026-11-21T10:00:00Z"), at("2026-11-22T10:00:00Z"));
        let first = change(SecretChangeKind::Set, &[("COOKIE", "a"), ("USER", "b")]);
        let first = apply(None, &first, &ada(), one).unwrap();
        let second = change(SecretChangeKind::Set, &[("COOKIE", "c")]);
        let second = apply(Some(&first), &second, &bob, two).unwrap();
        let mut wanted = first;
        wanted.keys.insert(
            "COOKIE".to_owned(),
            SecretKeyRecord {
                fingerprint: "c".to_owned(),
                key_id: "k1".to_owned(),
                set_at: two,
                by: bob,
            },
        );
        assert_eq!(second, wanted);
    }

    #[test]
    fn a_rotation_needs_what_is_there_and_another_value() {
        let now = at("2026-11-21T10:00:00Z");
        let set = change(SecretChangeKind::Set, &[("COOKIE", "a"), ("USER", "b")]);
        let record = apply(None, &set, &ada(), now).unwrap();
        let rotate = |hashes: &[(&str, &str)]| {
            apply(
                Some(&record),
                &change(SecretChangeKind::Rotate, hashes),
                &ada(),
                now,
            )
        };
        let refused = rotate(&[("COOKIE", "a"), ("TOKEN", "t"), ("USER", "other")]).unwrap_err();
        let places: Vec<&str> = refused
            .details
            .iter()
            .map(|detail| detail.at.as_str())
            .collect();
        assert_eq!(
            (refused.rule.as_str(), places),
            ("D-SEC-8", vec!["COOKIE", "TOKEN"])
        );
        assert!(rotate(&[("COOKIE", "z")]).is_ok());
        // A hash of another key says nothing about the value, so it does not refuse.
        let mut rekeyed = change(SecretChangeKind::Rotate, &[("COOKIE", "a")]);
        rekeyed.key_id = "k2".to_owned();
        assert!(apply(Some(&record), &rekeyed, &ada(), now).is_ok());
        assert!(
            apply(
                None,
                &change(SecretChangeKind::Rotate, &[("A", "a")]),
                &ada(),
                now
            )
            .is_err()
        );
    }

    #[test]
    fn each_stage_of_an_expiry_is_told_once_until_it_is_set_again() {
        let now = at("2026-11-21T10:00:00Z");
        let mut set = change(SecretChangeKind::Set, &[("COOKIE", "a")]);
        set.expires_at = Some(at("2026-11-24T10:00:00Z"));
        let mut record = apply(None, &set, &ada(), now).unwrap();
        let mut told = Vec::new();
        for hours in 0..80 {
            let now = now.checked_add(SignedDuration::from_hours(hours)).unwrap();
            if let Some(stage) = record.to_tell(now) {
                record.told = Some(stage);
                told.push((hours, stage));
            }
        }
        assert_eq!(
            told,
            [(48, ExpiryStage::Expiring), (72, ExpiryStage::Expired)]
        );
        let later = at("2026-11-25T10:00:00Z");
        set.expires_at = Some(at("2026-11-26T09:00:00Z"));
        let record = apply(Some(&record), &set, &ada(), later).unwrap();
        assert_eq!(record.to_tell(later), Some(ExpiryStage::Expiring));
        set.expires_at = Some(later);
        assert_eq!(
            apply(None, &set, &ada(), later).unwrap_err().rule,
            "D-SEC-9"
        );
    }
}
