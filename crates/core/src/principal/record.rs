//! What is recorded of a principal: its role, and the keys that it signs with. A pure state machine.
//!
//! A key is never deleted: it is valid from when it was registered until it was retired, so that what was
//! signed in between can be checked for ever (`D-ART-3`). Deliberately absent: private keys, which never
//! leave the machine of whoever owns them, and roles of the settings, which stand behind this record.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::VerifyingKey;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Principal, PrincipalKind, Role};
use crate::denial::Denial;
use crate::error_code::ErrorCode;
use crate::text::{quoted, serde_as_text};

/// An ed25519 public key (RFC 8032) as base64 of its 32 bytes.
///
/// ```
/// use moorline_core::principal::PublicKey;
///
/// let key: PublicKey = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=".parse()?;
/// assert_eq!(key.fingerprint(), "11qYAYKxCrfV");
/// assert!("AAAA".parse::<PublicKey>().is_err());
/// # Ok::<(), moorline_core::principal::PublicKeyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(Box<VerifyingKey>);

serde_as_text!(
    PublicKey,
    "^[A-Za-z0-9+/]{43}=$",
    "Public key (ed25519), as base64 of its 32 bytes"
);

impl PublicKey {
    /// The key, to check signatures with.
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.0
    }

    /// The first twelve characters, for people to compare.
    pub fn fingerprint(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl From<VerifyingKey> for PublicKey {
    fn from(key: VerifyingKey) -> Self {
        Self(Box::new(key))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&STANDARD.encode(self.0.as_bytes()))
    }
}

/// The text is no public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is not a public key: give the base64 text that `moorline principal keygen` prints",
    quoted(.text)
)]
pub struct PublicKeyError {
    text: String,
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        let error = || PublicKeyError {
            text: text.to_owned(),
        };
        let bytes = STANDARD.decode(text).map_err(|_| error())?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| error())?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| error())?;
        // Under a weak key many signatures hold for many texts.
        if key.is_weak() {
            return Err(error());
        }
        Ok(Self(Box::new(key)))
    }
}

/// A key with the time in which it was valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisteredKey {
    /// The key.
    pub public_key: PublicKey,
    /// When it was registered.
    pub since: Timestamp,
    /// When it was retired; absent while it is valid.
    pub until: Option<Timestamp>,
}

impl RegisteredKey {
    /// Whether what was signed at this time counts.
    pub fn valid_at(&self, at: Timestamp) -> bool {
        self.since <= at && self.until.is_none_or(|until| at < until)
    }
}

/// What is recorded of a principal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrincipalRecord {
    /// Who.
    pub principal: Principal,
    /// Its role; absent means the one of the settings.
    pub role: Option<Role>,
    /// Its keys, oldest first, the retired ones too.
    pub keys: Vec<RegisteredKey>,
    /// When it was removed; such a one may look, and nothing else.
    pub removed_at: Option<Timestamp>,
    /// When this last changed.
    pub updated_at: Timestamp,
    /// Who changed it.
    pub updated_by: Principal,
}

impl PrincipalRecord {
    /// The role that this record gives: the least one to who was removed; none where the settings decide.
    pub fn role(&self) -> Option<Role> {
        if self.removed_at.is_some() {
            return Some(Role::Viewer);
        }
        self.role
    }

    /// The keys that are valid at this time.
    pub fn valid_keys(&self, at: Timestamp) -> impl Iterator<Item = &PublicKey> {
        self.keys
            .iter()
            .filter(move |key| key.valid_at(at))
            .map(|key| &key.public_key)
    }
}

/// A change of a principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrincipalChange {
    /// Gives a role or a key, or retires a key; brings back who was removed.
    Set {
        /// The role; absent leaves it.
        role: Option<Role>,
        /// A key to register.
        add_key: Option<PublicKey>,
        /// A key to retire.
        retire_key: Option<PublicKey>,
    },
    /// Registers the first key of a person who signs something for the first time on this machine.
    FirstKey(PublicKey),
    /// Takes the role away and retires all keys.
    Remove,
}

/// Applies a change. `Ok(None)` when everything is so already.
///
/// # Errors
/// * `D-AUDIT-1`: Moorline itself has no record.
/// * `D-AUDIT-2`: nobody lowers or removes themself, so that someone who manages principals always
///   remains; who was removed does not come back by signing something.
/// * `D-ART-4`: only people have keys, since only people approve.
pub fn change(
    record: Option<&PrincipalRecord>,
    principal: &Principal,
    change: PrincipalChange,
    actor: &Principal,
    now: Timestamp,
) -> Result<Option<PrincipalRecord>, Denial> {
    if principal.kind() == PrincipalKind::System {
        let message = format!("{principal} is Moorline itself and has neither role nor key");
        return Err(forbidden("D-AUDIT-1", message));
    }
    let fresh = || PrincipalRecord {
        principal: principal.clone(),
        role: None,
        keys: Vec::new(),
        removed_at: None,
        updated_at: now,
        updated_by: actor.clone(),
    };
    let mut next = record.cloned().unwrap_or_else(fresh);
    match change {
        PrincipalChange::Set {
            role,
            add_key,
            retire_key,
        } => {
            if let Some(role) = role {
                if principal == actor && role < Role::Admin {
                    return Err(not_oneself(principal));
                }
                next.role = Some(role);
            }
            next.removed_at = None;
            if let Some(key) = add_key {
                register(&mut next, key, now)?;
            }
            if let Some(key) = retire_key {
                retire(&mut next, &key, now)?;
            }
        }
        PrincipalChange::FirstKey(key) => {
            if next.removed_at.is_some() || !next.keys.is_empty() {
                let why = if next.removed_at.is_some() {
                    "was removed"
                } else {
                    "has other keys than the one of this machine"
                };
                let message = format!("{principal} {why}");
                return Err(forbidden("D-AUDIT-2", message).hint(format!(
                    "an admin registers it: `moorline principal set {principal} --add-key {key} \
                     --reason …`"
                )));
            }
            register(&mut next, key, now)?;
        }
        PrincipalChange::Remove => {
            if principal == actor {
                return Err(not_oneself(principal));
            }
            if record.is_none() {
                let message = format!("nothing is recorded of {principal}");
                return Err(
                    Denial::new(ErrorCode::NotFound, "D-AUDIT-2", message).hint(format!(
                        "to take rights away, give the least role: `moorline principal set \
                         {principal} --role viewer --reason …`"
                    )),
                );
            }
            next.role = None;
            next.removed_at = next.removed_at.or(Some(now));
            for key in &mut next.keys {
                key.until = key.until.or(Some(now));
            }
        }
    }
    if record == Some(&next) {
        return Ok(None);
    }
    next.updated_at = now;
    next.updated_by = actor.clone();
    Ok(Some(next))
}

fn register(record: &mut PrincipalRecord, key: PublicKey, now: Timestamp) -> Result<(), Denial> {
    let principal = &record.principal;
    if !principal.is_human() {
        let message = format!("{principal} can not have a key: only people approve");
        return Err(forbidden("D-ART-4", message));
    }
    match record.keys.iter().find(|known| known.public_key == key) {
        Some(known) if known.until.is_some() => {
            let message = format!(
                "the key {} of {principal} is retired, and stays so",
                key.fingerprint()
            );
            return Err(Denial::new(ErrorCode::Conflict, "D-ART-3", message)
                .hint("make a new one with `moorline principal keygen`"));
        }
        Some(_) => {}
        None => record.keys.push(RegisteredKey {
            public_key: key,
            since: now,
            until: None,
        }),
    }
    Ok(())
}

fn retire(record: &mut PrincipalRecord, key: &PublicKey, now: Timestamp) -> Result<(), Denial> {
    let Some(known) = record.keys.iter_mut().find(|k| k.public_key == *key) else {
        let message = format!("{} has no key {}", record.principal, key.fingerprint());
        return Err(
            Denial::new(ErrorCode::NotFound, "D-AUDIT-2", message).hint(format!(
                "see its keys with `moorline principal show {}`",
                record.principal
            )),
        );
    };
    known.until = known.until.or(Some(now));
    Ok(())
}

fn forbidden(rule: &str, message: String) -> Denial {
    Denial::new(ErrorCode::Forbidden, rule, message)
}

fn not_oneself(principal: &Principal) -> Denial {
    let message = format!("{principal} can not take its own rights away");
    forbidden("D-AUDIT-2", message)
        .hint("ask another admin; so someone who manages principals always remains")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn who(text: &str) -> Principal {
        text.parse().unwrap()
    }

    fn at(second: u32) -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::from_secs(second.into())
    }

    fn key(seed: u8) -> PublicKey {
        ed25519_dalek::SigningKey::from_bytes(&[seed; 32])
            .verifying_key()
            .into()
    }

    fn set(
        role: Option<Role>,
        add: Option<PublicKey>,
        retire: Option<PublicKey>,
    ) -> PrincipalChange {
        PrincipalChange::Set {
            role,
            add_key: add,
            retire_key: retire,
        }
    }

    fn rule(denied: Result<Option<PrincipalRecord>, Denial>) -> String {
        denied.unwrap_err().rule
    }

    #[test]
    fn a_role_is_given_and_the_same_again_changes_nothing() {
        let (ada, bob) = (who("human:ada"), who("human:bob"));
        let give = || set(Some(Role::Approver), None, None);
        let record = change(None, &bob, give(), &ada, at(1)).unwrap().unwrap();
        assert_eq!(
            (record.role(), &record.updated_by),
            (Some(Role::Approver), &ada)
        );
        assert_eq!(change(Some(&record), &bob, give(), &ada, at(2)), Ok(None));
    }

    #[test]
    fn a_retired_key_counts_for_what_it_signed_and_never_again() {
        let (ada, bob) = (who("human:ada"), who("human:bob"));
        let with = |record: Option<&PrincipalRecord>, add, retire, second| {
            change(record, &bob, set(None, add, retire), &ada, at(second))
        };
        let first = with(None, Some(key(1)), None, 10).unwrap().unwrap();
        let both = with(Some(&first), Some(key(2)), Some(key(1)), 20)
            .unwrap()
            .unwrap();
        let valid = |second| both.valid_keys(at(second)).cloned().collect::<Vec<_>>();
        assert_eq!(valid(9), []);
        assert_eq!(valid(10), [key(1)]);
        assert_eq!(valid(19), [key(1)]);
        assert_eq!(valid(20), [key(2)]);
        assert_eq!(rule(with(Some(&both), Some(key(1)), None, 30)), "D-ART-3");
        assert_eq!(rule(with(Some(&both), None, Some(key(3)), 30)), "D-AUDIT-2");
    }

    #[test]
    fn who_was_removed_may_look_and_comes_back_only_by_an_admin() {
        let (ada, bob) = (who("human:ada"), who("human:bob"));
        let record = change(
            None,
            &bob,
            set(Some(Role::Admin), Some(key(1)), None),
            &ada,
            at(1),
        );
        let record = record.unwrap().unwrap();
        let removed = change(Some(&record), &bob, PrincipalChange::Remove, &ada, at(2));
        let removed = removed.unwrap().unwrap();
        assert_eq!(removed.role(), Some(Role::Viewer));
        assert_eq!(removed.valid_keys(at(2)).count(), 0);
        assert_eq!(removed.valid_keys(at(1)).count(), 1);
        let signs = change(
            Some(&removed),
            &bob,
            PrincipalChange::FirstKey(key(2)),
            &bob,
            at(3),
        );
        assert_eq!(rule(signs), "D-AUDIT-2");
        let again = change(
            Some(&removed),
            &bob,
            set(Some(Role::Operator), None, None),
            &ada,
            at(4),
        );
        assert_eq!(again.unwrap().unwrap().role(), Some(Role::Operator));
    }

    #[test]
    fn nobody_takes_their_own_rights_away_and_moorline_itself_has_none() {
        let ada = who("human:ada");
        let lower = change(None, &ada, set(Some(Role::Viewer), None, None), &ada, at(1));
        assert_eq!(rule(lower), "D-AUDIT-2");
        assert_eq!(
            rule(change(None, &ada, PrincipalChange::Remove, &ada, at(1))),
            "D-AUDIT-2"
        );
        let system = Principal::system();
        let change = change(
            None,
            &system,
            set(Some(Role::Viewer), None, None),
            &ada,
            at(1),
        );
        assert_eq!(rule(change), "D-AUDIT-1");
    }

    #[test]
    fn agents_and_pipelines_have_no_keys() {
        let ada = who("human:ada");
        for name in ["agent:codex", "ci:github"] {
            let program = who(name);
            let given = change(None, &program, set(None, Some(key(1)), None), &ada, at(1));
            assert_eq!(rule(given), "D-ART-4", "{name}");
            let first = change(
                None,
                &program,
                PrincipalChange::FirstKey(key(1)),
                &program,
                at(1),
            );
            assert_eq!(rule(first), "D-ART-4", "{name}");
        }
    }

    #[test]
    fn a_second_key_is_not_registered_by_using_it() {
        let ada = who("human:ada");
        let first = change(None, &ada, PrincipalChange::FirstKey(key(1)), &ada, at(1));
        let record = first.unwrap().unwrap();
        let second = change(
            Some(&record),
            &ada,
            PrincipalChange::FirstKey(key(2)),
            &ada,
            at(2),
        );
        let denied = second.unwrap_err();
        assert_eq!(denied.rule, "D-AUDIT-2");
        assert!(denied.hint.unwrap().contains("--add-key"));
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        let text = key(7).to_string();
        assert_eq!(text.parse(), Ok(key(7)));
        // The neutral element: under it, everything is signed.
        let weak = STANDARD.encode([[1].as_slice(), &[0; 31]].concat());
        for wrong in [
            "",
            "AAAA",
            text.trim_end_matches('='),
            weak.as_str(),
            "not base64!",
        ] {
            assert!(wrong.parse::<PublicKey>().is_err(), "{wrong}");
        }
    }

    fn any_change() -> impl Strategy<Value = PrincipalChange> {
        let maybe = || prop::option::of((1_u8..4).prop_map(key));
        let role = prop::option::of(prop::sample::select(Role::ALL.to_vec()));
        prop_oneof![
            4 => (role, maybe(), maybe()).prop_map(|(role, add, retire)| set(role, add, retire)),
            1 => (1_u8..4).prop_map(|seed| PrincipalChange::FirstKey(key(seed))),
            1 => Just(PrincipalChange::Remove),
        ]
    }

    proptest! {
        /// Whatever is asked for: a key once registered stays on record, its time is never reopened, and only
        /// people have any.
        #[test]
        fn keys_are_kept_for_ever(changes in prop::collection::vec(any_change(), 1..20)) {
            let (ada, bob) = (who("human:ada"), who("human:bob"));
            let mut record: Option<PrincipalRecord> = None;
            for (second, asked) in changes.into_iter().enumerate() {
                let now = at(u32::try_from(second).unwrap());
                let Ok(Some(next)) = change(record.as_ref(), &bob, asked, &ada, now) else {
                    continue;
                };
                if let Some(before) = &record {
                    prop_assert!(next.keys.len() >= before.keys.len());
                    for (old, new) in before.keys.iter().zip(&next.keys) {
                        prop_assert_eq!(&old.public_key, &new.public_key);
                        prop_assert_eq!(old.since, new.since);
                        prop_assert!(old.until.is_none() || old.until == new.until);
                    }
                }
                if next.removed_at.is_some() {
                    prop_assert_eq!(next.role(), Some(Role::Viewer));
                    prop_assert_eq!(next.valid_keys(now).count(), 0);
                }
                record = Some(next);
            }
        }
    }
}
