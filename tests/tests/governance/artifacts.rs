//! Artifacts: submit, review, decide, promote, roll back, verify.
