//! Whole-system tests, one binary: every one goes through the real `moorline` program.
