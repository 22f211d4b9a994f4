//! Secrets: set, rotate, revoke, audit, re-authentication.
