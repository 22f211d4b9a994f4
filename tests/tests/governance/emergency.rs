//! Emergencies and stops of schedules.
