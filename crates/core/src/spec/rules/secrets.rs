//! Rules on secrets: what is declared, and what is named.

use super::{is_env_name, repeated};
use crate::spec::parts::Parts;
use crate::spec::violation::{Violation, did_you_mean};

/// Prefix of the variables that Moorline sets itself.
pub(super) const RESERVED: &str = "MOORLINE_";

pub(super) fn check(parts: &Parts, found: &mut Vec<Violation>) {
    let names = parts
        .secrets
        .iter()
        .map(|(pointer, secret)| (pointer, secret.name.as_str()));
    repeated(names, |pointer| {
        let message = "is the name of an earlier secret as well";
        found.push(Violation::new(
            format!("{pointer}/name"),
            "D-SEC-2",
            message,
        ));
    });
    for (pointer, secret) in parts.secrets.iter() {
        if !is_secret_name(&secret.name) {
            let message = "is not a name for a secret";
            let violation = Violation::new(format!("{pointer}/name"), "D-SEC-2", message);
            found.push(violation.with_hint("a letter, then letters, digits, `_`, `-`"));
        }
        for (index, key) in secret.keys.iter().enumerate() {
            if !is_env_name(key) || key.starts_with(RESERVED) {
                let message = "is not a name that a secret's variable can have";
                let hint = "letters, digits and `_`, not first a digit, and not `MOORLINE_…`";
                let place = format!("{pointer}/keys/{index}");
                found.push(Violation::new(place, "D-SEC-2", message).with_hint(hint));
            }
        }
        let keys = secret
            .keys
            .iter()
            .enumerate()
            .map(|(index, key)| (index, key.as_str()));
        repeated(keys, |index| {
            let place = format!("{pointer}/keys/{index}");
            found.push(Violation::new(
                place,
                "D-SEC-2",
                "is a key of this secret already",
            ));
        });
    }
}

fn is_secret_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// Checks that a secret which is named at `pointer` is declared (D-SEC-4).
pub(super) fn declared(parts: &Parts, pointer: &str, name: &str, found: &mut Vec<Violation>) {
    let names = || parts.secrets.iter().map(|(_, secret)| secret.name.as_str());
    // With an unreadable declaration, nobody knows what it would have declared.
    if !parts.secrets.complete || names().any(|known| known == name) {
        return;
    }
    let message = "names a secret that the job does not declare";
    let violation = Violation::new(pointer, "D-SEC-4", message);
    found.push(match did_you_mean(name, names()) {
        Some(meant) => violation.with_hint(format!("did you mean `{meant}`?")),
        None => violation.with_hint("declare it in `/secrets` with its keys"),
    });
}
