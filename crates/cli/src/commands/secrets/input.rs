//! Values of secrets on their way in: standard input or a prompt without echo, and nothing else (D-SEC-3).

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Read as _};

use moorline_api::ApiError;
use moorline_api::secrets::SecretInput;
use moorline_core::error_code::ErrorCode;
use moorline_secrets::{
    EnvKey, FileSource, NameError, Origin, PromptSource, SecretName, SecretRef,
};
use zeroize::Zeroizing;

use crate::args::SecretSetArgs;

/// The most bytes of a pipe with several keys.
const LIMIT: u64 = 1 << 20;

/// A value on the command line is refused, and not repeated.
pub(super) fn refuse_arguments(args: &SecretSetArgs) -> Result<(), ApiError> {
    if args.value.is_none() && args.stray.is_empty() {
        return Ok(());
    }
    let message = "a value was given as an argument, where every process of this machine can read it and the \
                   shell keeps it (D-SEC-3); nothing was set";
    Err(ApiError::new(ErrorCode::Usage, message).hint(
        "take that value for known to others and make a new one; give it by `< FILE`, by a pipe, or at the \
         prompt",
    ))
}

/// The values of these keys; of the key that the secret's name makes, when none is named.
pub(crate) fn values(
    name: &str,
    keys: &[String],
    dotenv: bool,
) -> Result<BTreeMap<String, SecretInput>, ApiError> {
    let keys = keys_of(name, keys)?;
    if dotenv {
        return lines(&keys);
    }
    if keys.len() > 1 && !io::stdin().is_terminal() {
        let message = "standard input holds one value, and several keys were named";
        return Err(usage(message).hint(
            "give KEY=VALUE lines with --dotenv, or answer one prompt after the other at a terminal",
        ));
    }
    let closed = |error| usage("standard input can not be read").because(error);
    let prompt = PromptSource::stdin().map_err(closed)?;
    let mut values = BTreeMap::new();
    for key in &keys {
        let value = prompt.ask(key.as_str()).map_err(|error| {
            usage(format!("no value for {key}: {error}"))
                .hint("give it by `< FILE`, by a pipe, or at the prompt; nothing was set")
        })?;
        values.insert(key.to_string(), SecretInput::from(value.expose()));
    }
    Ok(values)
}

fn usage(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::Usage, message)
}

fn keys_of(name: &str, keys: &[String]) -> Result<Vec<EnvKey>, ApiError> {
    let refused = |error: NameError| {
        usage(format!("{error} (D-SEC-1)"))
            .hint("a key is the environment variable that a step is given")
    };
    if keys.is_empty() {
        let name: SecretName = name.parse().map_err(refused)?;
        let key = SecretRef::new(name).default_key();
        let key = key.ok_or_else(|| usage("the name makes no key: give one with `--key KEY`"))?;
        return Ok(vec![key]);
    }
    let mut parsed: Vec<EnvKey> = Vec::with_capacity(keys.len());
    for key in keys {
        let key: EnvKey = key.parse().map_err(refused)?;
        if parsed.contains(&key) {
            return Err(usage(format!("the key {key} is named twice")));
        }
        parsed.push(key);
    }
    Ok(parsed)
}

/// `KEY=VALUE` lines of standard input: exactly the keys that were named.
fn lines(keys: &[EnvKey]) -> Result<BTreeMap<String, SecretInput>, ApiError> {
    let limit = usize::try_from(LIMIT).unwrap_or(usize::MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 1));
    io::stdin()
        .lock()
        .take(LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| usage("standard input can not be read").because(error))?;
    if bytes.len() > limit {
        return Err(usage(format!(
            "standard input holds more than {limit} bytes"
        )));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        usage("standard input is not UTF-8 text; encode the values, for example as base64")
    })?;
    let source = FileSource::parse(text, Origin::new("standard input"))
        .map_err(|error| usage(error.to_string()))?;
    let mut values = BTreeMap::new();
    for (key, value) in source.iter() {
        if !keys.contains(key) {
            let message = format!("standard input sets {key}, which was not named");
            return Err(usage(message).hint("name every key with `--key KEY`; nothing was set"));
        }
        values.insert(key.to_string(), SecretInput::from(value.expose()));
    }
    match keys.iter().find(|key| !values.contains_key(key.as_str())) {
        Some(key) => Err(usage(format!(
            "standard input has no line for {key}; nothing was set"
        ))),
        None => Ok(values),
    }
}
