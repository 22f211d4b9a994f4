//! What follows a failure: sources, schedules, alerts.
