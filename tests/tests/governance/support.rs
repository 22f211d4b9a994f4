//! What the tests of governance have in common.
