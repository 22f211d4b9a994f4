//! Helpers for `serde` attributes: the defaults that are not their type's own, and what to leave out.
//!
//! A field that holds its default is left out when a spec is written, so the canonical form of a spec
//! does not change when a later version of Moorline adds a field.

/// The default `true`.
pub(super) const fn yes() -> bool {
    true
}

/// Whether a switch that is on by default is on.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde calls"
)]
pub(super) const fn is_yes(value: &bool) -> bool {
    *value
}

/// The default `N`.
pub(super) const fn num<const N: u32>() -> u32 {
    N
}

/// Whether a number holds its default `N`.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde calls"
)]
pub(super) const fn is_num<const N: u32>(value: &u32) -> bool {
    *value == N
}

/// Whether a value holds the default of its type.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Never leaves a field out of the published schema's defaults.
pub(super) const fn never<T>(_: &T) -> bool {
    false
}
