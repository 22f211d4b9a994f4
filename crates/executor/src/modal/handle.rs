//! Handles of attempts at Modal, and the names by which their objects are found.
//!
//! An attempt's objects carry its id: the sandbox as name and tag, the volume in its name. So nothing but
//! the handle is needed to find them all, and not even that: `find_owned` goes by the tags.

use std::collections::BTreeMap;

use moorline_core::attempt::{Attempt, Handle};
use moorline_core::content_id::ContentId;
use moorline_core::ids::AttemptId;
use moorline_core::spec::GpuChoice;
use serde::{Deserialize, Serialize};

use super::NAME;
use crate::executor::ExecutorError;
use crate::handle;

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
/// The GPU that was asked for, and those that were asked for before it.
pub(super) const TAG_GPU: &str = "moorline-gpu";
/// See [`TAG_GPU`].
pub(super) const TAG_GPU_PASSED_OVER: &str = "moorline-gpu-passed-over";

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
    /// The GPU that was got, e.g. `T4.1` for one T4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gpu: Option<String>,
    /// Better choices that did not come in their time, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) gpu_passed_over: Vec<String>,
}

impl Place {
    /// The coordinates of a sandbox of ours. All but where it is stands in its tags, so that who finds it
    /// and who made it have equal handles.
    pub(super) fn new(
        server: String,
        environment: String,
        sandbox_id: String,
        tags: &BTreeMap<String, String>,
    ) -> Self {
        let tag = |name: &str| tags.get(name).cloned();
        let passed_over = tag(TAG_GPU_PASSED_OVER).unwrap_or_default();
        Self {
            server,
            environment,
            sandbox_id,
            owner: tag(TAG_OWNER).unwrap_or_default(),
            warm: tag(TAG_WARM),
            gpu: tag(TAG_GPU),
            gpu_passed_over: passed_over
                .split('_')
                .filter(|choice| !choice.is_empty())
                .map(str::to_owned)
                .collect(),
        }
    }
}

/// The handle of an attempt.
pub(super) fn make(id: AttemptId, place: &Place) -> Result<Handle, ExecutorError> {
    handle::encode(NAME, id, place)
}

/// The coordinates that a handle holds.
pub(super) fn place(handle: &Handle) -> Result<Place, ExecutorError> {
    handle::decode(NAME, handle)
}

/// The error for an attempt that is not there, or not any more.
pub(super) fn not_found(id: AttemptId) -> ExecutorError {
    ExecutorError::NotFound {
        what: format!("attempt {id}"),
    }
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
    ContentId::of_bytes(owner.as_bytes())
        .to_hex()
        .chars()
        .take(32)
        .collect()
}

/// A key of the warm cache as a tag.
pub(super) fn warm_tag(key: &str) -> String {
    key.chars().take(LONGEST_TAG).collect()
}

/// The tags of the sandbox for one of an attempt's GPU choices.
pub(super) fn gpu_tags(choices: &[GpuChoice], number: usize) -> BTreeMap<String, String> {
    let text = |choice: &GpuChoice| format!("{}.{}", choice.kind.replace('_', "-"), choice.count);
    let mut tags = BTreeMap::new();
    if let Some(choice) = choices.get(number) {
        tags.insert(TAG_GPU.to_owned(), tag_text(&text(choice)));
        let passed: Vec<String> = choices.iter().take(number).map(text).collect();
        if !passed.is_empty() {
            tags.insert(TAG_GPU_PASSED_OVER.to_owned(), tag_text(&passed.join("_")));
        }
    }
    tags
}

/// The tags of an attempt's sandbox, whatever GPU it has.
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
    let fit = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') {
            c
        } else {
            '-'
        }
    };
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
    fn the_gpus_that_did_not_come_are_told_by_tags() {
        let choice = |kind: &str| GpuChoice {
            kind: kind.to_owned(),
            count: 2,
            queue_timeout_seconds: Some(1),
        };
        let choices = [choice("H100"), choice("A100-80GB"), choice("T4")];
        let seen = |number| {
            let tags = gpu_tags(&choices, number);
            let place = Place::new(String::new(), String::new(), String::new(), &tags);
            (place.gpu, place.gpu_passed_over)
        };
        assert_eq!(seen(0), (Some("H100.2".to_owned()), Vec::new()));
        let passed = ["H100.2", "A100-80GB.2"].map(str::to_owned).to_vec();
        assert_eq!(seen(2), (Some("T4.2".to_owned()), passed));
        assert_eq!(gpu_tags(&[], 0), BTreeMap::new());
    }

    #[test]
    fn a_foreign_or_damaged_handle_is_not_found() {
        let id = AttemptId::new(uuid::Uuid::from_u128(7));
        let tags = BTreeMap::from([(TAG_OWNER.to_owned(), owner_tag("me"))]);
        let (server, sandbox) = ("http://127.0.0.1:1".to_owned(), "sb-1".to_owned());
        let place = Place::new(server, String::new(), sandbox, &tags);
        let handle = make(id, &place).unwrap();
        assert_eq!(super::place(&handle).unwrap(), place);
        let foreign = Handle {
            executor: "local".to_owned(),
            ..handle.clone()
        };
        let damaged = Handle {
            data: serde_json::json!({}),
            ..handle
        };
        for handle in [foreign, damaged] {
            assert!(matches!(
                super::place(&handle),
                Err(ExecutorError::NotFound { .. })
            ));
        }
    }
}
