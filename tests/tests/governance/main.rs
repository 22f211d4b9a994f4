//! Governance through the real binary: review, promotion, schedules, secrets, stops, alerts, the audit trail.

mod artifacts;
mod audit;
mod drift;
mod emergency;
mod failures;
mod invariants;
mod jobs;
mod lanes;
mod life;
mod schedules;
mod secrets;
mod support;
