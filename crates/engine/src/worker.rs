//! The worker of one machine: schedules, due runs, deliveries, until it is told to end.
