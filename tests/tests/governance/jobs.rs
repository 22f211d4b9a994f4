//! The job types of seed 000, with mock steps.
