//! What is kept, against what is recorded and what jobs declare.
//!
//! Values are compared by keyed hash. A back end that gives none back can not be compared: that is said, and
//! counts as drift, since "can not verify" is no proof (D-PROC-5).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use moorline_api::ApiError;
use moorline_api::secrets::{SecretAuditReport, SecretAuditRequest, SecretFinding, SecretState};
use moorline_core::lane::Lane;
use moorline_core::secret::{ExpiryStage, SecretRecord};
use moorline_core::spec::JobSpec;
use moorline_secrets::backend::{SecretBackend, SecretPlace, SecretValues};
use moorline_secrets::vault::Fingerprinter;
use moorline_secrets::{EnvKey, LaneSecrets};
use moorline_store::RunFilter;

use super::policy;
use crate::engine::Inner;
use crate::error::store_error;
use crate::secrets::{refused, requirements};
use crate::submit;

/// Runs of a lane that are looked at for what they declared, newest first.
const RUNS: u32 = 500;

/// What the jobs of a lane declare: logical secret to key to whether it is required.
type Declared = BTreeMap<String, BTreeMap<String, bool>>;

/// Keyed hashes of what is kept, by lane, secret and key.
type Hashes = BTreeMap<(Lane, String, String), String>;

impl Inner {
    pub(super) async fn audit_secrets(
        &self,
        request: SecretAuditRequest,
    ) -> Result<SecretAuditReport, ApiError> {
        let mut findings = Vec::new();
        let mut hashes = Hashes::new();
        for lane in self.lanes_named(request.lane.as_deref())? {
            let declared = self.declared(&lane, &request).await?;
            let found = self.audit_lane(&lane, &declared, &mut hashes).await?;
            findings.extend(found);
        }
        let lanes = &self.config.settings.lanes;
        let production = |lane: &Lane| lanes.get(lane).is_some_and(|lane| lane.production);
        findings.extend(shared_with_production(&hashes, production));
        findings.sort();
        findings.dedup();
        let bad = |finding: &SecretFinding| {
            finding.state.is_drift()
                || matches!(
                    finding.state,
                    SecretState::Absent | SecretState::Expired | SecretState::Shared
                )
        };
        Ok(SecretAuditReport {
            clean: !findings.iter().any(bad),
            findings,
        })
    }

    /// What the jobs that ran in the lane, those that it points to and those that are given declare.
    async fn declared(
        &self,
        lane: &Lane,
        request: &SecretAuditRequest,
    ) -> Result<Declared, ApiError> {
        let mut declared = Declared::new();
        let filter = RunFilter {
            limit: RUNS,
            ..RunFilter::default()
        };
        let mut seen = BTreeSet::new();
        for run in self.store.runs_list(filter).await.map_err(store_error)? {
            if run.lane == *lane && seen.insert(run.spec_hash.to_string()) {
                add(&mut declared, self.spec_of(&run).await?.as_ref())?;
            }
        }
        for promotion in self.store.live_list().await.map_err(store_error)? {
            if promotion.lane != *lane {
                continue;
            }
            let found = self
                .store
                .artifact_get(promotion.artifact)
                .await
                .map_err(store_error)?;
            let text = match found {
                Some(artifact) => self
                    .store
                    .spec_get(&artifact.spec_hash)
                    .await
                    .map_err(store_error)?,
                None => None,
            };
            if let Some(spec) = text.and_then(|text| serde_json::from_str::<JobSpec>(&text).ok()) {
                add(&mut declared, &spec)?;
            }
        }
        let settings = self.lane_settings(lane)?;
        for job in &request.jobs {
            add(&mut declared, submit::load(job, settings)?.spec.as_ref())?;
        }
        Ok(declared)
    }

    async fn audit_lane(
        &self,
        lane: &Lane,
        declared: &Declared,
        hashes: &mut Hashes,
    ) -> Result<Vec<SecretFinding>, ApiError> {
        let vault = self.must_vault()?;
        let backend = vault.backend().as_ref();
        let names = policy::lane_secrets(self.lane_settings(lane)?)?;
        let records = self
            .store
            .secrets_list(Some(lane))
            .await
            .map_err(store_error)?;
        let mut lanes = LaneAudit {
            lane,
            hashes: vault.hashes().await?,
            now: self.now(),
            findings: Vec::new(),
        };
        let mut known = BTreeSet::new();
        for record in &records {
            let place = SecretPlace {
                lane: lane.to_string(),
                environment: record.environment.clone(),
                object: record.object.parse().map_err(|error| refused(&error))?,
            };
            let kept = kept(backend, &place).await?;
            lanes.compare(record, &kept, hashes);
            lanes.declared(record, declared);
            known.insert(place.object);
        }
        let listed = backend.list(lane.as_str(), &names.environment).await;
        for object in listed.map_err(|error| refused(&error))? {
            let ours = backend.is_readable()
                || names
                    .claims(&object.object)
                    .map_err(|error| refused(&error))?;
            if ours && !known.contains(&object.object) {
                let message = "it is kept, and nobody set it here: set it again, or revoke it";
                lanes.find(
                    object.object.as_str(),
                    None,
                    SecretState::Unrecorded,
                    message,
                );
            }
        }
        self.absent(&mut lanes, declared, &names).await?;
        Ok(lanes.findings)
    }

    /// Keys that a job needs and that a run would not be given.
    async fn absent(
        &self,
        audit: &mut LaneAudit<'_>,
        declared: &Declared,
        names: &LaneSecrets,
    ) -> Result<(), ApiError> {
        let settings = self.lane_settings(audit.lane)?;
        let backend = self.must_vault()?.backend();
        for (secret, keys) in declared {
            let place = policy::place(names, &policy::secret_named(secret)?)?;
            let there = backend
                .keys(&place)
                .await
                .map_err(|error| refused(&error))?;
            for (key, _) in keys.iter().filter(|(_, required)| **required) {
                let Ok(parsed) = key.parse::<EnvKey>() else {
                    continue;
                };
                let ambient = self.takes_ambient(settings)
                    && self
                        .secrets
                        .origin_of(&parsed)
                        .map_err(|error| refused(&error))?
                        .is_some();
                if !ambient && !there.contains(&parsed) {
                    let message = "a job needs it, and it is not there";
                    audit.find(secret, Some(key), SecretState::Absent, message);
                }
            }
        }
        Ok(())
    }
}

/// What a back end tells of an object.
enum Kept {
    Values(SecretValues),
    Keys(BTreeSet<EnvKey>),
}

async fn kept(backend: &dyn SecretBackend, place: &SecretPlace) -> Result<Kept, ApiError> {
    let kept = if backend.is_readable() {
        backend.get(place).await.map(Kept::Values)
    } else {
        backend.keys(place).await.map(Kept::Keys)
    };
    kept.map_err(|error| refused(&error))
}

struct LaneAudit<'a> {
    lane: &'a Lane,
    hashes: &'a Fingerprinter,
    now: Timestamp,
    findings: Vec<SecretFinding>,
}

impl LaneAudit<'_> {
    fn find(&mut self, secret: &str, key: Option<&str>, state: SecretState, message: &str) {
        self.findings.push(SecretFinding {
            lane: self.lane.clone(),
            secret: secret.to_owned(),
            key: key.map(str::to_owned),
            state,
            message: message.to_owned(),
        });
    }

    /// Every recorded key, and every kept one that is not recorded.
    fn compare(&mut self, record: &SecretRecord, kept: &Kept, hashes: &mut Hashes) {
        for (key, set) in &record.keys {
            let parsed = key.parse::<EnvKey>().ok();
            let (state, message) = match (kept, parsed) {
                (Kept::Values(values), Some(parsed)) => match values.get(&parsed) {
                    None => (SecretState::Missing, "it was set and is gone"),
                    Some(value) => {
                        let found = self.hashes.fingerprint(value);
                        let same = found == set.fingerprint;
                        let at = (self.lane.clone(), record.name.clone(), key.clone());
                        hashes.insert(at, found);
                        if same {
                            (SecretState::Ok, "as it was set")
                        } else if set.key_id == self.hashes.key_id() {
                            (
                                SecretState::Changed,
                                "its value is not the one that was set here",
                            )
                        } else {
                            let why = "it was set under another key of this installation";
                            (SecretState::Unverifiable, why)
                        }
                    }
                },
                (Kept::Keys(keys), Some(parsed)) if keys.contains(&parsed) => (
                    SecretState::Unverifiable,
                    "it is there, and its value is never given back, so nobody can say whose it is",
                ),
                _ => (SecretState::Missing, "it was set and is gone"),
            };
            self.find(&record.name, Some(key), state, message);
        }
        let kept: BTreeSet<&str> = match kept {
            Kept::Values(values) => values.keys().map(EnvKey::as_str).collect(),
            Kept::Keys(keys) => keys.iter().map(EnvKey::as_str).collect(),
        };
        for key in kept {
            if !record.keys.contains_key(key) {
                let message = "it is kept, and nobody set it here";
                self.find(&record.name, Some(key), SecretState::Unrecorded, message);
            }
        }
    }

    /// Whether any job uses it, and whether it still holds.
    fn declared(&mut self, record: &SecretRecord, declared: &Declared) {
        if !declared.contains_key(&record.name) {
            let message = "no job is known that declares it";
            self.find(&record.name, None, SecretState::Unused, message);
        }
        let end = record
            .expires_at
            .map(|end| end.to_string())
            .unwrap_or_default();
        match record.stage(self.now) {
            Some(ExpiryStage::Expiring) => {
                let message = format!("it holds until {end}");
                self.find(&record.name, None, SecretState::Expiring, &message);
            }
            Some(ExpiryStage::Expired) => {
                let message = format!("it ended at {end}");
                self.find(&record.name, None, SecretState::Expired, &message);
            }
            None => {}
        }
    }
}

fn add(declared: &mut Declared, spec: &JobSpec) -> Result<(), ApiError> {
    for requirement in requirements(&spec.secrets)? {
        let keys = declared.entry(requirement.secret().kebab()).or_default();
        for key in requirement.keys() {
            let required = keys.entry(key.to_string()).or_default();
            *required |= requirement.is_required();
        }
    }
    Ok(())
}

/// Values of a production lane that another lane has as well: distinct objects with one value are one secret.
/// Production is `prod` and every lane that extends it, and those too have secrets of their own.
fn shared_with_production(
    hashes: &Hashes,
    production: impl Fn(&Lane) -> bool,
) -> Vec<SecretFinding> {
    let mut by_hash: BTreeMap<&str, Vec<&(Lane, String, String)>> = BTreeMap::new();
    for (place, hash) in hashes {
        by_hash.entry(hash).or_default().push(place);
    }
    let mut findings = Vec::new();
    for places in by_hash.values() {
        // `prod` itself, where it is among them.
        let of_production = places.iter().filter(|(lane, ..)| production(lane));
        let Some((owner, _, _)) = of_production.max_by_key(|(lane, ..)| lane.is_prod()) else {
            continue;
        };
        for (lane, secret, key) in places.iter().filter(|(lane, ..)| lane != owner) {
            findings.push(SecretFinding {
                lane: lane.clone(),
                secret: secret.clone(),
                key: Some(key.clone()),
                state: SecretState::Shared,
                message: format!(
                    "lane {owner} has the same value (D-SEC-7): give each lane its own"
                ),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(values: &[(&str, &str)]) -> Vec<(String, String)> {
        let hashes = values.iter().map(|(lane, value)| {
            let place = (lane.parse().unwrap(), "BANK".to_owned(), "KEY".to_owned());
            (place, (*value).to_owned())
        });
        let production = |lane: &Lane| lane.as_str().starts_with("prod");
        let findings = shared_with_production(&hashes.collect(), production);
        let findings = findings.into_iter();
        findings
            .map(|finding| (finding.lane.to_string(), finding.message))
            .collect()
    }

    /// D-SEC-7, also for a lane of one's own that extends `prod`.
    #[test]
    fn a_value_of_any_production_lane_is_that_lanes_alone() {
        let shared = |lane: &str, owner: &str| {
            let message =
                format!("lane {owner} has the same value (D-SEC-7): give each lane its own");
            (lane.to_owned(), message)
        };
        assert_eq!(found(&[("dev", "a"), ("staging", "a")]), []);
        assert_eq!(found(&[("dev", "a"), ("prod", "b"), ("prod-eu", "c")]), []);
        assert_eq!(
            found(&[("dev", "a"), ("prod-eu", "a")]),
            [shared("dev", "prod-eu")]
        );
        assert_eq!(
            found(&[("dev", "a"), ("prod", "a"), ("prod-eu", "a")]),
            [shared("dev", "prod"), shared("prod-eu", "prod")]
        );
    }
}
