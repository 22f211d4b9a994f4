//! Timings of cron expressions, and instants.

use jiff::Timestamp;
use moorline_core::content_id::ContentId;
use moorline_core::schedule::times::Timing;
use moorline_core::schedule::{Misfire, Overlap, ScheduleDocument};
use moorline_core::spec::CadenceKind;

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn document(kind: CadenceKind, zone: &str) -> ScheduleDocument {
    ScheduleDocument {
        kind,
        expr: None,
        period_seconds: None,
        time_zone: zone.to_owned(),
        jitter_seconds: 0,
        misfire: Misfire::Skip,
        overlap: Overlap::Skip,
        starts_at: None,
        ends_at: None,
        job_id: "bank-statement".to_owned(),
        spec_hash: ContentId::of_bytes(b"spec"),
    }
}

pub(crate) fn cron_document(expr: &str, zone: &str) -> ScheduleDocument {
    ScheduleDocument {
        expr: Some(expr.to_owned()),
        ..document(CadenceKind::Cron, zone)
    }
}

pub(crate) fn cron(expr: &str, zone: &str) -> Timing {
    Timing::of(&cron_document(expr, zone), Timestamp::UNIX_EPOCH).unwrap()
}

/// All times later than `from` and not later than `until`, one asked after the other.
pub(crate) fn enumerate(timing: &Timing, from: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    let next = |after: &Timestamp| timing.next_after(*after).filter(|next| *next <= until);
    std::iter::successors(next(&from), next).collect()
}

/// As [`enumerate`], between texts and as text.
pub(crate) fn due(expr: &str, zone: &str, from: &str, until: &str) -> Vec<String> {
    let due = enumerate(&cron(expr, zone), at(from), at(until));
    due.iter().map(ToString::to_string).collect()
}
