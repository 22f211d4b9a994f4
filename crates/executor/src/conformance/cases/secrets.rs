//! Secrets reach the job and nothing else.

use std::fs;
use std::path::Path;

use moorline_core::attempt::{Attempt, Exit};
use moorline_secrets::{EnvKey, Origin, SecretEnv, SecretValue};

use crate::executor::{ExecutorError, LogCursor};

use super::{Bench, During as _, Failure, Feature, Program, ensure, same};

const NAME: &str = "CONFORMANCE_TOKEN";

pub(super) async fn a_secret_reaches_the_job(bench: &Bench<'_>) -> Result<(), Failure> {
    let (secrets, value) = secret(bench)?;
    let attempt = bench.attempt(&Program::ShiftSecret(NAME.to_owned()));
    let handle = bench
        .bounded("launch", bench.executor.launch(&attempt, &secrets))
        .await?;
    same(
        "the exit",
        &bench.wait(&handle).await?.exit,
        &Exit::Exited { code: 0 },
    )?;
    let shifted = bench.output(&handle, "shifted").await?;
    let back: String = String::from_utf8_lossy(&shifted)
        .trim_end()
        .chars()
        .map(back)
        .collect();
    ensure(back == value, || {
        "the job did not see the value of its secret".to_owned()
    })
}

pub(super) async fn a_secret_is_nowhere_else(bench: &Bench<'_>) -> Result<(), Failure> {
    let (secrets, value) = secret(bench)?;
    let attempt = bench.attempt(&Program::LeakAndStay(NAME.to_owned()));
    let handle = bench
        .bounded("launch", bench.executor.launch(&attempt, &secrets))
        .await?;
    bench.until_line(&handle, "ready").await?;
    hidden("the arguments of a process", &arguments(), &value)?;
    bench
        .bounded(
            "cancel",
            bench.executor.cancel(&handle, std::time::Duration::ZERO),
        )
        .await?;
    let outcome = bench.wait(&handle).await?;
    let log = bench.log(&handle, LogCursor::default()).await?;
    ensure(log.len() > 1, || {
        "the log does not have what the job printed".to_owned()
    })?;
    let text: String = log.iter().map(|chunk| chunk.text.as_str()).collect();
    hidden("the log", text.as_bytes(), &value)?;
    hidden("the handle", format!("{handle:?}").as_bytes(), &value)?;
    hidden("the outcome", format!("{outcome:?}").as_bytes(), &value)?;
    for place in bench.harness.state_directories() {
        search(&place, &value).during("searching the executor's state")??;
    }
    // And when the launch goes wrong.
    let missing = bench.attempt(&Program::Missing);
    let text = match bench
        .within("launch", bench.executor.launch(&missing, &secrets))
        .await?
    {
        Err(error) => format!("{error:?}"),
        Ok(handle) => format!("{:?}", bench.wait(&handle).await?),
    };
    hidden("the error", text.as_bytes(), &value)
}

pub(super) async fn secrets_are_given_or_refused(bench: &Bench<'_>) -> Result<(), Failure> {
    let (secrets, _) = secret(bench)?;
    let attempt: Attempt = bench.attempt(&Program::Exit(0));
    match bench
        .within("launch", bench.executor.launch(&attempt, &secrets))
        .await?
    {
        Ok(handle) if bench.has(Feature::Secrets) => bench.wait(&handle).await.map(drop),
        Ok(_) => Err(Failure::new(
            "an attempt was launched without the secret that it was given",
        )),
        Err(ExecutorError::Unsupported { .. }) if !bench.has(Feature::Secrets) => same(
            "what is owned after a refusal",
            &bench.owned(&*bench.executor).await?,
            &vec![],
        ),
        Err(error) => Err(Failure::new(format!(
            "a launch with a secret failed: {error}"
        ))),
    }
}

/// A secret that occurs nowhere else, of lower-case letters and digits.
fn secret(bench: &Bench<'_>) -> Result<(SecretEnv, String), Failure> {
    let value: String = bench
        .owner
        .chars()
        .rev()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let key: EnvKey = NAME
        .parse()
        .map_err(|error| Failure::new(format!("`{NAME}` is no name of a variable: {error}")))?;
    let mut secrets = SecretEnv::new();
    secrets.insert(
        key,
        SecretValue::from(value.clone()),
        Origin::new("conformance suite"),
    );
    Ok((secrets, value))
}

/// Undoes `tr a-z b-za`.
fn back(c: char) -> char {
    match c {
        'a' => 'z',
        'b'..='z' => char::from_u32(u32::from(c) - 1).unwrap_or(c),
        _ => c,
    }
}

fn hidden(place: &str, bytes: &[u8], value: &str) -> Result<(), Failure> {
    let is_there = bytes
        .windows(value.len())
        .any(|part| part == value.as_bytes());
    ensure(!is_there, || format!("the value of a secret is in {place}"))
}

/// The arguments of all processes that can be seen from here; none where there is no `/proc`.
fn arguments() -> Vec<u8> {
    let entries = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    entries
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .flatten()
        .collect()
}

fn search(place: &Path, value: &str) -> std::io::Result<Result<(), Failure>> {
    for entry in fs::read_dir(place)? {
        let path = entry?.path();
        let found = match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => search(&path, value)?,
            Ok(meta) if meta.is_file() => {
                hidden(&path.display().to_string(), &fs::read(&path)?, value)
            }
            // Gone meanwhile, or something that holds no bytes.
            Ok(_) | Err(_) => Ok(()),
        };
        if found.is_err() {
            return Ok(found);
        }
    }
    Ok(Ok(()))
}
