//! Rules on the steps: what they run, with what, and how often.

use super::repeated;
use super::secrets::{RESERVED, declared};
use super::{is_env_name, lane::check_image};
use crate::error_code::{FailureClass, RetryRule};
use crate::spec::egress::{Egress, HostRule};
use crate::spec::parts::Parts;
use crate::spec::policy::Retries;
use crate::spec::step::Step;
use crate::spec::violation::{Violation, join};

pub(super) fn check(parts: &Parts, found: &mut Vec<Violation>) {
    let names = parts
        .steps
        .iter()
        .map(|(pointer, step)| (pointer, step.name.as_str()));
    repeated(names, |pointer| {
        let message = "is the name of an earlier step as well";
        found.push(Violation::new(
            format!("{pointer}/name"),
            "D-SPEC-3e",
            message,
        ));
    });
    if let Some(egress) = parts.egress.get() {
        check_egress("", egress, found);
    }
    if let Some(retries) = parts
        .failure_policy
        .get()
        .and_then(|policy| policy.retries.as_ref())
    {
        // Whether a step is idempotent is its own to say, so the job's default may name preemption.
        check_retries("/failure_policy", retries, true, found);
    }
    for (pointer, step) in parts.steps.iter() {
        command(pointer, step, found);
        environment(parts, pointer, step, found);
        timeout(parts, pointer, step, found);
        if let Some(egress) = &step.egress {
            check_egress(pointer, egress, found);
        }
        if let Some(retries) = &step.retries {
            check_retries(pointer, retries, step.idempotent, found);
        }
        if let Some(image) = &step.image {
            check_image(pointer, image, false, found);
        }
    }
}

fn command(pointer: &str, step: &Step, found: &mut Vec<Violation>) {
    for (index, arg) in step.argv.iter().enumerate() {
        let place = || format!("{pointer}/argv/{index}");
        if arg.has_nul() {
            let message = "holds a NUL byte, which no process can be given";
            found.push(Violation::new(place(), "D-RUN-5", message));
        } else if index == 0 && arg.as_bytes().is_empty() {
            found.push(Violation::new(
                place(),
                "D-RUN-5",
                "is empty where the program belongs",
            ));
        }
    }
}

fn environment(parts: &Parts, pointer: &str, step: &Step, found: &mut Vec<Violation>) {
    let env = format!("{pointer}/env");
    for (name, value) in &step.env {
        let place = join(&env, name);
        let secret = parts
            .secrets
            .iter()
            .find(|(_, secret)| secret.keys.iter().any(|key| key == name));
        if !is_env_name(name) {
            let violation =
                Violation::new(place, "D-RUN-5", "is not a name of an environment variable");
            found.push(violation.with_hint("letters, digits and `_`, not first a digit"));
        } else if name.starts_with(RESERVED) {
            let violation = Violation::new(place, "D-RUN-5", "is a name that Moorline sets itself");
            found.push(violation.with_hint("choose one that does not start with `MOORLINE_`"));
        } else if value.contains('\0') {
            let message = "holds a NUL byte, which no process can be given";
            found.push(Violation::new(place, "D-RUN-5", message));
        } else if let Some((_, secret)) = secret {
            let message = format!(
                "is a key of the secret `{}`, set here in clear",
                secret.name
            );
            let violation = Violation::new(place, "D-SEC-3", message);
            found.push(
                violation.with_hint("remove it, and name the secret in the step's `secrets`"),
            );
        }
    }
    for (index, name) in step.secrets.iter().enumerate() {
        declared(parts, &format!("{pointer}/secrets/{index}"), name, found);
    }
    let names = step
        .secrets
        .iter()
        .enumerate()
        .map(|(index, name)| (index, name.as_str()));
    repeated(names, |index| {
        let place = format!("{pointer}/secrets/{index}");
        found.push(Violation::new(place, "D-SEC-2", "is named already"));
    });
}

fn timeout(parts: &Parts, pointer: &str, step: &Step, found: &mut Vec<Violation>) {
    let bound = parts
        .constraints
        .get()
        .map(|constraints| constraints.max_runtime_seconds);
    if let (Some(timeout), Some(bound)) = (step.timeout_seconds, bound)
        && u64::from(timeout) > bound
    {
        let message = format!("is more than the job's `max_runtime_seconds` of {bound}");
        let violation = Violation::new(format!("{pointer}/timeout_seconds"), "D-SPEC-4a", message);
        found.push(violation.with_hint("lower it, or raise `/constraints/max_runtime_seconds`"));
    }
}

fn check_egress(pointer: &str, egress: &Egress, found: &mut Vec<Violation>) {
    let Egress::Allow(entries) = egress else {
        return;
    };
    for (index, entry) in entries.iter().enumerate() {
        if let Err(error) = entry.parse::<HostRule>() {
            let place = format!("{pointer}/egress/allow/{index}");
            let violation = Violation::new(place, "D-SPEC-3j", "is not an entry of an egress list");
            found.push(violation.with_hint(error.to_string()));
        }
    }
}

/// L46: what is never retried is refused here already.
fn check_retries(pointer: &str, retries: &Retries, idempotent: bool, found: &mut Vec<Violation>) {
    for (index, class) in retries.on.iter().enumerate() {
        let place = format!("{pointer}/retries/on/{index}");
        match class.rule().retry {
            RetryRule::AsConfigured => {}
            RetryRule::IfResumable if idempotent => {}
            RetryRule::IfResumable => {
                let message = "is retried only where the step is idempotent";
                let violation = Violation::new(place, "D-RUN-4", message);
                found
                    .push(violation.with_hint("set `idempotent` if running it twice does no harm"));
            }
            RetryRule::Never => {
                let message = format!("is `{class}`, a failure that is never retried");
                let (runtime, timeout) = (FailureClass::Runtime, FailureClass::Timeout);
                let hint = format!("remove it; `{runtime}` and `{timeout}` can be retried");
                found.push(Violation::new(place, "D-RUN-4", message).with_hint(hint));
            }
        }
    }
}
