//! The audit trail, refusals and explanations.
