//! An artifact and its records as a directory, and back: `content/` and `approval.json`.
//!
//! The same artifact and records are written byte by byte alike. `approval.json` carries a hash over itself,
//! so that a changed byte is found also where nothing is signed, and is read back only in the form in which
//! it is written. Who changes it on purpose can make that hash anew, and can not make the signatures.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use moorline_api::{ApiError, ExportReport, ExportRequest, TrustedKey, VerifyReport};
use moorline_core::artifact::files::Entry;
use moorline_core::artifact::{Artifact, Promotion};
use moorline_core::content_id::ContentId;
use moorline_core::error_code::ErrorCode;
use moorline_core::principal::{Principal, RegisteredKey};
use serde::{Deserialize, Serialize};

use super::pack::{Packed, pack};
use super::verify::{self, Subject};
use crate::bundle::Bundle;
use crate::engine::Inner;
use crate::error::io_error;
use crate::files;

/// The records of an export.
const RECORDS: &str = "approval.json";
/// The files of an export.
const CONTENT: &str = "content";
/// What the records say that they are.
const FORMAT: &str = "moorline artifact 1";

/// The content of `approval.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    /// [`FORMAT`].
    format: String,
    /// The artifact, with every decision and signature.
    pub(super) artifact: Artifact,
    /// Where lanes were pointed to it, oldest first.
    promotions: Vec<Promotion>,
    /// Keys of the signers, for people to compare; a verification does not believe them.
    keys: Vec<TrustedKey>,
    /// Hash over the canonical JSON of all above; absent while it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seal: Option<ContentId>,
}

impl Document {
    fn new(artifact: Artifact, promotions: Vec<Promotion>) -> Result<Self, ApiError> {
        let mut keys: Vec<TrustedKey> = Vec::new();
        for decision in &artifact.decisions {
            let key = decision
                .signed
                .as_ref()
                .map(|signed| signed.public_key.parse());
            if let Some(Ok(public_key)) = key {
                let principal = decision.by.clone();
                let key = TrustedKey {
                    principal,
                    public_key,
                };
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        let mut document = Self {
            format: FORMAT.to_owned(),
            artifact,
            promotions,
            keys,
            seal: None,
        };
        document.seal = Some(document.hash().map_err(unwritable)?);
        Ok(document)
    }

    fn hash(&self) -> Result<ContentId, moorline_core::canonical::CanonicalError> {
        let unsealed = Self {
            seal: None,
            ..self.clone()
        };
        ContentId::of_json(&unsealed)
    }

    fn text(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }

    /// Whether `text` is how this document is written, and its seal is right.
    fn sealed(&self, text: &str) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("the format is `{}`, not `{FORMAT}`", self.format));
        }
        if self.text().ok().as_deref() != Some(text) {
            return Err("it is not in the form in which it was written".to_owned());
        }
        if self.hash().ok() != self.seal {
            return Err("its seal does not fit what it says".to_owned());
        }
        Ok(())
    }
}

fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> ApiError {
    ApiError::new(ErrorCode::Internal, "can not write the records as JSON").because(error)
}

/// An export that was read.
pub(super) struct Exported {
    pub(super) document: Document,
    text: String,
    content: Result<Packed, ApiError>,
    /// What lies beside records and content.
    strange: Vec<String>,
}

/// Reads an exported directory.
pub(super) fn read(dir: &Path) -> Result<Exported, ApiError> {
    let records = dir.join(RECORDS);
    let unreadable = |why: String| {
        let message = format!("can not read the records {}: {why}", records.display());
        ApiError::new(ErrorCode::Validation, message)
            .hint("give a directory that `moorline artifact export` wrote, unchanged")
    };
    let text = fs::read_to_string(&records).map_err(|error| unreadable(error.to_string()))?;
    let document = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
    let mut strange = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| unreadable(error.to_string()))? {
        let entry = entry.map_err(|error| unreadable(error.to_string()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != RECORDS && name != CONTENT {
            strange.push(name);
        }
    }
    strange.sort();
    Ok(Exported {
        document,
        text,
        content: pack(&dir.join(CONTENT)),
        strange,
    })
}

impl Exported {
    /// Every check of what was exported.
    pub(super) fn verify(&self, keys: &[(Principal, Vec<RegisteredKey>)]) -> VerifyReport {
        let subject = Subject {
            artifact: &self.document.artifact,
            promotions: &self.document.promotions,
            files: verify::files_of(&self.content),
            keys,
        };
        let mut report = subject.report();
        let own = [
            verify::check("the records are as they were written", || {
                self.document.sealed(&self.text)
            }),
            verify::check("nothing lies beside records and content", || {
                if self.strange.is_empty() {
                    Ok(())
                } else {
                    Err(format!("found {}", self.strange.join(", ")))
                }
            }),
        ];
        report.checks.splice(0..0, own);
        report.intact = report.checks.iter().all(|check| check.holds);
        report
    }
}

impl Inner {
    /// `artifact export`: all or nothing.
    pub(super) async fn export_artifact(
        &self,
        request: ExportRequest,
    ) -> Result<ExportReport, ApiError> {
        if request.out.as_os_str().is_empty() {
            let message = "an export makes a directory: `out` does not name one";
            return Err(ApiError::new(ErrorCode::Usage, message)
                .hint("give the name of a directory to make; over HTTP it is `upload:new`"));
        }
        let artifact = self
            .find_artifact(&request.artifact, request.lane.as_deref())
            .await?;
        let promotions = self.promotions_of(&artifact).await?;
        let kept = self.open_kept(&artifact.content).await?;
        if kept.content != artifact.content {
            let message = format!(
                "what is kept of artifact {} was changed: it hashes to {} (D-ART-2)",
                artifact.id, kept.content
            );
            return Err(ApiError::new(ErrorCode::Store, message)
                .hint("`moorline artifact verify` says more; nothing was written"));
        }
        let out = &request.out;
        if out.symlink_metadata().is_ok() {
            let message = format!("{} exists", out.display());
            return Err(ApiError::new(ErrorCode::Usage, message)
                .hint("give the name of a directory to make"));
        }
        let id = artifact.id;
        let document = Document::new(artifact, promotions)?;
        let text = document.text().map_err(unwritable)?;
        write(out, &text, &kept).map_err(io_error(format!("write {}", out.display())))?;
        let export = Bundle::read(out)
            .map_err(io_error("read back what was written"))?
            .id;
        Ok(ExportReport {
            artifact: id,
            out: out.clone(),
            export,
        })
    }
}

/// Writes beside the target, then gives it its name.
fn write(out: &Path, records: &str, kept: &Packed) -> io::Result<()> {
    let parent = match out.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent)?;
    let staging = tempfile::Builder::new()
        .prefix(".export-")
        .tempdir_in(parent)?;
    let root = staging.path().join("export");
    fs::create_dir(&root)?;
    fs::write(root.join(RECORDS), records)?;
    fs::create_dir(root.join(CONTENT))?;
    for (path, entry) in kept.files.iter() {
        let to = root.join(CONTENT).join(path);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        match entry {
            Entry::Link { target } => std::os::unix::fs::symlink(target, &to)?,
            Entry::File {
                executable, bytes, ..
            } => {
                // A reviewed file is in memory: larger ones are findings.
                fs::write(&to, bytes.as_deref().unwrap_or_default())?;
                let mode = if *executable { 0o755 } else { 0o644 };
                fs::set_permissions(&to, fs::Permissions::from_mode(mode))?;
            }
        }
    }
    files::sync_tree(&root)?;
    fs::rename(&root, out)
}

#[cfg(test)]
mod tests {
    use moorline_core::artifact::layout::{self, SpecFile};
    use moorline_core::artifact::signature::{Attestation, SigningKey};
    use moorline_core::artifact::{ArtifactState, Decision, DecisionKind, Review};
    use moorline_core::ids::ArtifactId;

    use super::*;

    /// An artifact of a small job that eve approved, exported; with the directory and eve's key.
    fn exported() -> (tempfile::TempDir, Vec<(Principal, Vec<RegisteredKey>)>) {
        let home = tempfile::tempdir().unwrap();
        let job = home.path().join("job");
        fs::create_dir(&job).unwrap();
        let spec = r#"{"job_id": "report", "steps": [{"name": "main", "argv": ["true"]}]}"#;
        fs::write(job.join(layout::SPEC), spec).unwrap();
        fs::write(job.join("RUNBOOK.md"), "Run it.\n").unwrap();
        let packed = pack(&job).unwrap();
        let spec = SpecFile::read(&packed.files, layout::SPEC).unwrap();
        let eve: Principal = "human:eve".parse().unwrap();
        let at: jiff::Timestamp = "2026-03-01T08:00:00Z".parse().unwrap();
        let mut artifact = Artifact {
            id: ArtifactId::new(uuid::Uuid::from_u128(1)),
            job_id: "report".to_owned(),
            source_id: None,
            job_type: spec.spec.job_type,
            spec_version: 1,
            spec_hash: spec.hash,
            content: packed.content,
            state: ArtifactState::Approved,
            submitted_by: "human:ada".parse().unwrap(),
            submitted_at: at,
            note: Some("the first version".to_owned()),
            schedule: None,
            review: Review::default(),
            decisions: Vec::new(),
            version: 2,
        };
        let key = SigningKey::from_bytes(&[7; 32]);
        let review = artifact.review.clone();
        let decided = (&eve, at);
        let attestation = Attestation::of(
            &artifact,
            &review,
            DecisionKind::Approve,
            decided,
            "read it",
        )
        .unwrap();
        artifact.decisions.push(Decision {
            kind: DecisionKind::Approve,
            by: eve.clone(),
            at,
            reason: "read it".to_owned(),
            changes: Vec::new(),
            signed: Some(attestation.sign(&key).unwrap()),
        });
        let document = Document::new(artifact, Vec::new()).unwrap();
        let out = home.path().join("out");
        write(&out, &document.text().unwrap(), &packed).unwrap();
        let known = RegisteredKey {
            public_key: key.verifying_key().into(),
            since: at,
            until: None,
        };
        (home, vec![(eve, vec![known])])
    }

    fn intact(dir: &Path, keys: &[(Principal, Vec<RegisteredKey>)]) -> bool {
        read(dir).is_ok_and(|exported| exported.verify(keys).intact)
    }

    #[test]
    fn an_export_verifies_with_the_signer_s_key_and_with_no_other() {
        let (home, keys) = exported();
        let out = home.path().join("out");
        let report = read(&out).unwrap().verify(&keys);
        assert!(report.intact && report.approved, "{report:?}");
        assert!(!intact(&out, &[]));
        let later: Vec<_> = keys
            .into_iter()
            .map(|(eve, mut keys)| {
                for key in &mut keys {
                    key.since = jiff::Timestamp::MAX;
                }
                (eve, keys)
            })
            .collect();
        assert!(!intact(&out, &later), "a key counts from when it was known");
    }

    #[test]
    fn every_changed_byte_of_the_records_is_found() {
        let (home, _) = exported();
        let records = home.path().join("out").join(RECORDS);
        let original = fs::read(&records).unwrap();
        for at in 0..original.len() {
            let mut changed = original.clone();
            changed[at] ^= 1;
            fs::write(&records, &changed).unwrap();
            let found = match read(&home.path().join("out")) {
                Err(_) => true,
                Ok(exported) => exported.document.sealed(&exported.text).is_err(),
            };
            assert!(found, "byte {at}");
        }
    }

    #[test]
    fn whatever_is_changed_in_the_content_is_found() {
        let (home, keys) = exported();
        let out = home.path().join("out");
        let file = out.join(CONTENT).join("RUNBOOK.md");
        let original = fs::read(&file).unwrap();
        for at in 0..original.len() {
            let mut changed = original.clone();
            changed[at] ^= 1;
            fs::write(&file, &changed).unwrap();
            assert!(!intact(&out, &keys), "byte {at}");
        }
        fs::write(&file, &original).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(!intact(&out, &keys), "the exec bit");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(intact(&out, &keys));
        fs::write(out.join("more.txt"), "x").unwrap();
        assert!(!intact(&out, &keys), "a file beside the records");
    }

    /// Who can write the records can seal them anew, and can not sign.
    #[test]
    fn records_that_were_sealed_anew_still_need_the_signature() {
        type Forge = fn(&mut Artifact);
        let (home, keys) = exported();
        let out = home.path().join("out");
        let forgeries: [Forge; 4] = [
            |artifact| "because".clone_into(&mut artifact.decisions[0].reason),
            |artifact| artifact.decisions[0].by = "human:ada".parse().unwrap(),
            |artifact| artifact.decisions.clear(),
            |artifact| artifact.content = ContentId::of_bytes(b"other"),
        ];
        for forge in forgeries {
            let mut exported = read(&out).unwrap();
            forge(&mut exported.document.artifact);
            exported.document = Document::new(exported.document.artifact, Vec::new()).unwrap();
            exported.text = exported.document.text().unwrap();
            exported.document.sealed(&exported.text).unwrap();
            assert!(!exported.verify(&keys).intact);
        }
    }
}
