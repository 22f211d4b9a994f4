//! Schedules deployed to Modal, and drift.
