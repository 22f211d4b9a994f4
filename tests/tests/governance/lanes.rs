//! Lanes, settings, principals.
