//! Rules on the job as a whole: what its type requires, and settings that must fit each other.

use serde_json::Value;

use super::secrets::declared;
use crate::schema::Validator;
use crate::spec::document::{JobType, V1_REQUIRED};
use crate::spec::parts::{Part, Parts};
use crate::spec::policy::{Alert, AlertChannel, IncrementalStrategy};
use crate::spec::step::is_name;
use crate::spec::violation::Violation;

pub(super) fn check(parts: &Parts, found: &mut Vec<Violation>) {
    required_by_type(parts, found);
    params(parts, found);
    input_names(parts, found);
    incremental(parts, found);
    thresholds(parts, found);
    for (pointer, alert) in parts.alerts.iter() {
        destination(parts, pointer, alert, found);
    }
}

fn required_by_type(parts: &Parts, found: &mut Vec<Violation>) {
    let job_type = match &parts.job_type {
        Part::Absent => JobType::Task,
        Part::Broken => return,
        Part::Read(job_type) => *job_type,
    };
    if job_type.is_v1() {
        for name in V1_REQUIRED.into_iter().filter(|name| !parts.has(name)) {
            let message = format!("is required in a job of type `{}`", job_type.as_str());
            let hint = "seed 000's job types have every field of JobSpec v1; leave `job_type` out for a \
                        general job";
            found.push(Violation::new(format!("/{name}"), "D-SPEC-2a", message).with_hint(hint));
        }
    } else if !parts.has("steps") {
        let hint = "say what to run: `\"steps\": [{\"name\": \"main\", \"argv\": [\"./run\"]}]`";
        let message = "is required in a job of type `task`";
        found.push(Violation::new("/steps", "D-SPEC-2b", message).with_hint(hint));
    }
}

fn params(parts: &Parts, found: &mut Vec<Violation>) {
    let Some(schema) = parts.params_schema.get() else {
        return;
    };
    let params = match &parts.params {
        Part::Read(params) => Value::Object(params.clone()),
        Part::Absent => Value::Object(serde_json::Map::new()),
        Part::Broken => return,
    };
    match Validator::compile(Value::Object(schema.clone())) {
        Err(error) => {
            let place = error.pointer.trim_start_matches('#');
            let pointer = format!("/params_schema{place}");
            found.push(Violation::new(pointer, "D-SPEC-3o", error.reason));
        }
        Ok(schema) => found.extend(
            schema
                .check(&params)
                .into_iter()
                .map(|violation| Violation {
                    pointer: format!("/params{}", violation.pointer),
                    rule: "D-SPEC-3o".to_owned(),
                    ..violation
                }),
        ),
    }
}

fn input_names(parts: &Parts, found: &mut Vec<Violation>) {
    for (pointer, _) in parts.inputs.iter() {
        let name = pointer.rsplit('/').next().unwrap_or_default();
        if !is_name(name) {
            let message = "is not a name for an input";
            let hint = "a lower-case letter, then at most 63 letters, digits, `_`, `-`";
            found.push(Violation::new(pointer, "D-SPEC-3p", message).with_hint(hint));
        }
    }
}

fn incremental(parts: &Parts, found: &mut Vec<Violation>) {
    let Some(plan) = parts.incremental.get() else {
        return;
    };
    let pointer = "/incremental/cursor_field";
    match (plan.strategy, &plan.cursor_field) {
        (IncrementalStrategy::Cursor, None) => {
            let hint = "name the record field whose largest value is where the next run starts";
            let violation =
                Violation::new(pointer, "D-SPEC-3q", "is required by the strategy `cursor`");
            found.push(violation.with_hint(hint));
        }
        (IncrementalStrategy::Full | IncrementalStrategy::Lookback, Some(_)) => {
            let violation =
                Violation::new(pointer, "D-SPEC-3q", "is only for the strategy `cursor`");
            found.push(violation.with_hint("remove it, or set `strategy` to `cursor`"));
        }
        _ => {}
    }
}

fn thresholds(parts: &Parts, found: &mut Vec<Violation>) {
    let Some(limits) = parts.validation.get() else {
        return;
    };
    let pairs = [
        (
            "transactions",
            limits.min_transactions,
            limits.max_transactions,
        ),
        (
            "output_bytes",
            limits.min_output_bytes,
            limits.max_output_bytes,
        ),
    ];
    for (what, least, most) in pairs {
        if let (Some(least), Some(most)) = (least, most)
            && least > most
        {
            let message = format!("is less than `min_{what}`, so no run could pass");
            found.push(Violation::new(
                format!("/validation/max_{what}"),
                "D-SPEC-3s",
                message,
            ));
        }
    }
}

fn destination(parts: &Parts, pointer: &str, alert: &Alert, found: &mut Vec<Violation>) {
    let mut report = |place: &str, message: &str, hint: &str| {
        let violation = Violation::new(format!("{pointer}{place}"), "D-SPEC-3r", message);
        found.push(violation.with_hint(hint));
    };
    match (&alert.target, &alert.target_secret) {
        (None, None) => report("/target", "is required", "give it, or `target_secret`"),
        (Some(_), Some(_)) => {
            report(
                "/target_secret",
                "is given beside `target`",
                "keep one of the two",
            );
        }
        (Some(target), None) => match alert.channel {
            AlertChannel::Email if !is_mail_address(target) => {
                report(
                    "/target",
                    "is not a mail address",
                    "as in `ops@example.com`",
                );
            }
            AlertChannel::Webhook | AlertChannel::Slack if !is_plain_url(target) => {
                let hint = "give an `https` URL without user and password; one that is itself a secret \
                            goes to `target_secret`";
                report("/target", "is not a URL that may stand in a spec", hint);
            }
            _ => {}
        },
        (None, Some(name)) => declared(parts, &format!("{pointer}/target_secret"), name, found),
    }
    match (&alert.secret, alert.channel) {
        (None, _) => {}
        (Some(name), AlertChannel::Webhook) => {
            declared(parts, &format!("{pointer}/secret"), name, found);
        }
        (Some(_), AlertChannel::Email | AlertChannel::Slack) => {
            let message = "is only for `webhook`, whose requests it signs";
            let violation = Violation::new(format!("{pointer}/secret"), "D-SPEC-3r", message);
            found.push(violation.with_hint("leave it out"));
        }
    }
}

/// Enough to catch a slip; the mail server has the last word.
fn is_mail_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(user, domain)| {
        !user.is_empty() && domain.contains('.') && !domain.contains('@')
    }) && !text.contains(char::is_whitespace)
}

fn is_plain_url(text: &str) -> bool {
    text.strip_prefix("https://").is_some_and(|rest| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        !authority.is_empty() && !authority.contains('@') && !text.contains(char::is_whitespace)
    })
}
