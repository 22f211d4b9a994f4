//! Rules on when a job runs.

use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::date;
use jiff::tz::TimeZoneDatabase;

use crate::spec::document::JobType;
use crate::spec::parts::Parts;
use crate::spec::source::{Cadence, CadenceKind};
use crate::spec::violation::{Violation, did_you_mean};

pub(super) fn check(parts: &Parts, found: &mut Vec<Violation>) {
    if let Some(zone) = parts.time_zone.get() {
        time_zone(zone, found);
    }
    let Some(cadence) = parts.cadence.get() else {
        return;
    };
    match cadence.kind {
        CadenceKind::Cron => cron(cadence, found),
        CadenceKind::Periodic => {
            refuse_expr(cadence, "periodic", found);
            if cadence.period_seconds.is_none() {
                let message = "is required by a `periodic` cadence";
                let violation = Violation::new("/cadence/period_seconds", "D-SPEC-3c", message);
                found.push(violation.with_hint("seconds from one start to the next, at least 60"));
            }
        }
        CadenceKind::None => {
            refuse_expr(cadence, "none", found);
            refuse_period(cadence, "D-SPEC-3c", "none", found);
        }
    }
    if cadence.kind != CadenceKind::None {
        unscheduled(parts, found);
    }
}

fn time_zone(zone: &str, found: &mut Vec<Violation>) {
    // The bundled database, so that a spec means the same on every machine.
    let zones = TimeZoneDatabase::bundled();
    // Look-up ignores case, but a name is written in one way.
    let known = zones
        .get(zone)
        .is_ok_and(|known| known.iana_name() == Some(zone));
    if !known {
        let names: Vec<String> = zones.available().map(|name| name.to_string()).collect();
        let same = names
            .iter()
            .find(|name| name.eq_ignore_ascii_case(zone))
            .map(String::as_str);
        let meant = same.or_else(|| did_you_mean(zone, names.iter().map(String::as_str)));
        let violation = Violation::new("/time_zone", "D-SPEC-3b", "is not an IANA time zone");
        found.push(match meant {
            Some(meant) => violation.with_hint(format!("did you mean `{meant}`?")),
            None => violation.with_hint("as in `America/New_York` or `UTC`"),
        });
    }
}

fn cron(cadence: &Cadence, found: &mut Vec<Violation>) {
    let pointer = "/cadence/expr";
    let five = "minute, hour, day of month, month, day of week, as in `15 6 * * *`";
    match &cadence.expr {
        None => {
            let violation = Violation::new(pointer, "D-SPEC-3a", "is required by a `cron` cadence");
            found.push(violation.with_hint(five));
        }
        Some(expr) => {
            if let Err(reason) = check_cron(expr) {
                let message = format!("is not a cron expression that can be kept: {reason}");
                found.push(Violation::new(pointer, "D-SPEC-3a", message).with_hint(five));
            }
        }
    }
    refuse_period(cadence, "D-SPEC-3a", "cron", found);
}

/// Parses five fields and looks for a time that satisfies them.
fn check_cron(expr: &str) -> Result<(), String> {
    let fields = expr.split_ascii_whitespace().count();
    if fields != 5 {
        return Err(format!("it has {fields} fields, not five"));
    }
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    let cron = parser.parse(expr).map_err(|error| error.to_string())?;
    // Without a year field an expression that ever comes to pass does so again, so the start of the
    // search is free; a fixed one keeps this a function of the text alone.
    cron.find_next_occurrence(&date(2024, 1, 1).at(0, 0, 0, 0), true)
        .map(drop)
        .map_err(|_| "no time satisfies it".to_owned())
}

fn refuse_expr(cadence: &Cadence, kind: &str, found: &mut Vec<Violation>) {
    if cadence.expr.is_some() {
        let message = format!("does not go with a cadence of type `{kind}`");
        let violation = Violation::new("/cadence/expr", "D-SPEC-3c", message);
        found.push(violation.with_hint("remove it, or set `type` to `cron`"));
    }
}

fn refuse_period(cadence: &Cadence, rule: &str, kind: &str, found: &mut Vec<Violation>) {
    if cadence.period_seconds.is_some() {
        let message = format!("does not go with a cadence of type `{kind}`");
        let violation = Violation::new("/cadence/period_seconds", rule, message);
        found.push(violation.with_hint("remove it, or set `type` to `periodic`"));
    }
}

/// Jobs and sources that can have no schedule.
fn unscheduled(parts: &Parts, found: &mut Vec<Violation>) {
    if parts.job_type.get() == Some(&JobType::IntakeResearch) {
        let message = "must be `none` in a job of type `intake_research`";
        let violation = Violation::new("/cadence/type", "D-SPEC-3i", message);
        found.push(violation.with_hint("research ends in a spec; a later job has the schedule"));
    }
    for (pointer, entity) in parts.entities.iter() {
        if entity.tier_hint == 3 {
            let message = "is 3, and a tier 3 source can not be scheduled";
            let violation = Violation::new(format!("{pointer}/tier_hint"), "D-SPEC-3h", message);
            found.push(violation.with_hint("set the cadence to `none`: a person starts each run"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check_cron;

    #[test]
    fn five_fields_that_come_to_pass_are_a_cron_expression() {
        for expr in [
            "15 6 * * *",
            "*/5 0-6 1,15 * MON-FRI",
            "0 0 29 2 *",
            "0 9 * * 5L",
            "0 0 31 12 *",
        ] {
            assert_eq!(check_cron(expr), Ok(()), "{expr}");
        }
    }

    #[test]
    fn what_never_comes_to_pass_or_is_not_five_fields_is_refused() {
        assert_eq!(
            check_cron("0 15 6 * * *").unwrap_err(),
            "it has 6 fields, not five"
        );
        assert_eq!(
            check_cron("@daily").unwrap_err(),
            "it has 1 fields, not five"
        );
        assert_eq!(
            check_cron("0 0 30 2 *").unwrap_err(),
            "no time satisfies it"
        );
        for expr in [
            "60 * * * *",
            "* 24 * * *",
            "a b c d e",
            "*/0 * * * *",
            "5-1 * * * *",
        ] {
            assert!(check_cron(expr).is_err(), "{expr}");
        }
    }
}
