//! Handles of attempts at Modal, and the names by which their objects are found.
//!
//! An attempt's objects carry its id: the sandbox as name and tag, the volume in its name. So nothing but
//! the handle is needed to find them all, and not even that: `find_owned` goes by the tags.

use std::collections::BTreeMap;

use moorline_core::attempt::{Attempt, Handle};
use moorline_core::content_id::ContentId;
use moorline_core::ids::AttemptId;
use serde::{Deserialize, Serialize};

use super::NAME;
use crate::executor::ExecutorError;

/// Begins the name of the volume of an attempt.
const VOLUME: &str = "moorline-attempt-";

/// The tags of a sandbox of ours.
pub(super) const TAG_OWNER: &str = "moorline-owner";
/// See [`TAG_OWNER`].
pub(super) const TAG_ATTEMPT: &str = "moorline-attempt";
/// See [`TAG_OWNER`].
pub(super) const TAG_RUN: &str = "moorline-run";

/// The key under which the sandbox's file system is kept after a success.
pub(super) const TAG_WARM: &str = "moorline-warm";

/// A tag holds at most this much.
const LONGEST_TAG: usize = 63;

/// The coordinates of an attempt at Modal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Address of the server, to tell one Modal from another: an emulator's world ends with it.
    pub(super) server: String,
    /// Environment; empty for the workspace's default.
    pub(super) environment: String,
    /// `sb-…`
    pub(super) sandbox_id: String,
    /// Tag of the owner.
    pub(super) owner: String,
    /// The key under which its file system is kept after a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) warm: Option<String>,
}

/// The handle of an attempt.
pub(super) fn make(id: AttemptId, place: &Place) -> Result<Handle, ExecutorError> {
    let data = serde_json::to_value(place)
        .map_err(|error| ExecutorError::io("writing a handle", error.into()))?;
    Ok(Handle { executor: NAME.to_owned(), attempt_id: id, data })
}

/// The coordinates that a handle holds.
pub(super) fn place(handle: &Handle) -> Result<Place, ExecutorError> {
    if handle.executor != NAME {
        let what = format!("a handle of the {} executor", handle.executor);
        return Err(ExecutorError::NotFound { what });
    }
    serde_json::from_value(handle.data.clone()).map_err(|error| ExecutorError::NotFound {
        what: format!("attempt {}: its handle is damaged: {error}", handle.attempt_id),
    })
}

/// The error for an attempt that is not there, or not any more.
pub(super) fn not_found(id: AttemptId) -> ExecutorError {
    ExecutorError::NotFound { what: format!("attempt {id}") }
}

/// Name of the volume of an attempt.
pub(super) fn volume(id: AttemptId) -> String {
    format!("{VOLUME}{id}")
}

/// The attempt whose volume has this name.
pub(super) fn attempt_of_volume(name: &str) -> Option<AttemptId> {
    name.strip_prefix(VOLUME)?.parse().ok()
}

/// The owner as a tag: any text may name an owner, few characters make a tag.
pub(super) fn owner_tag(owner: &str) -> String {
    ContentId::of_bytes(owner.as_bytes()).to_hex().chars().take(32).collect()
}

/// A key of the warm cache as a tag.
pub(super) fn warm_tag(key: &str) -> String {
    key.chars().take(LONGEST_TAG).collect()
}

/// The tags of an attempt's sandbox.
pub(super) fn tags(attempt: &Attempt) -> BTreeMap<String, String> {
    [
        (TAG_OWNER, owner_tag(&attempt.owner)),
        (TAG_ATTEMPT, attempt.id.to_string()),
        (TAG_RUN, attempt.run_id.to_string()),
        ("moorline-job", tag_text(&attempt.job_id)),
        ("moorline-step", tag_text(&attempt.step)),
        ("moorline-lane", tag_text(&attempt.lane)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// A text made fit for a tag, for people who look at Modal's own pages.
fn tag_text(text: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let tag: String = text.chars().map(fit).take(LONGEST_TAG).collect();
    if tag.is_empty() { "-".to_owned() } else { tag }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_names_its_attempt() {
        let id = AttemptId::new(uuid::Uuid::from_u128(7));
        assert_eq!(attempt_of_volume(&volume(id)), Some(id));
        assert!(volume(id).len() <= 64, "Modal takes no longer name");
        assert_eq!(attempt_of_volume("moorline-attempt-x"), None);
        assert_eq!(attempt_of_volume("data"), None);
    }

    #[test]
    fn any_owner_and_job_makes_a_tag() {
        assert_eq!(owner_tag("/home/ada/.moorline").len(), 32);
        assert_ne!(owner_tag("a"), owner_tag("b"));
        assert_eq!(tag_text("Chase checking/é"), "Chase-checking--");
        assert_eq!(tag_text(""), "-");
        assert_eq!(tag_text(&"x".repeat(100)).len(), LONGEST_TAG);
    }

    #[test]
    fn a_foreign_or_damaged_handle_is_not_found() {
        let id = AttemptId::new(uuid::Uuid::from_u128(7));
        let place = Place {
            server: "http://127.0.0.1:1".to_owned(),
            environment: String::new(),
            sandbox_id: "sb-1".to_owned(),
            owner: owner_tag("me"),
            warm: None,
        };
        let handle = make(id, &place).unwrap();
        assert_eq!(super::place(&handle).unwrap(), place);
        let foreign = Handle { executor: "local".to_owned(), ..handle.clone() };
        let damaged = Handle { data: serde_json::json!({}), ..handle };
        for handle in [foreign, damaged] {
            assert!(matches!(super::place(&handle), Err(ExecutorError::NotFound { .. })));
        }
    }
}
