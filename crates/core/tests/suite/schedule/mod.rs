//! When schedules are due, against a clock that is looked at every minute.

mod bounds;
mod shifts;
mod support;
mod zones;
