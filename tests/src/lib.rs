//! What the whole-system tests share. The tests themselves are the binary `tests/system`.
