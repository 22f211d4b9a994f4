//! Schedules through the worker.
