//! Revocation: what holds a secret is stopped, then the secret is removed (D-SEC-8).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use moorline_api::ApiError;
use moorline_api::secrets::{SecretRevokeReport, SecretRevokeRequest};
use moorline_core::error_code::ErrorCode;
use moorline_core::ids::RunId;
use moorline_core::lane::Lane;
use moorline_core::principal::Principal;
use moorline_core::run::{CancelKind, Run};
use moorline_core::spec::Mode;
use moorline_secrets::EnvKey;
use moorline_secrets::backend::SecretPlace;
use moorline_store::{CancelRun, ForgetSecrets};

use super::policy;
use crate::engine::Inner;
use crate::error::store_error;
use crate::secrets::{refused, requirements};

/// What is revoked, by whom and why.
#[derive(Debug)]
pub(crate) struct Revocation<'a> {
    /// The lanes.
    pub(crate) lanes: &'a [Lane],
    /// One secret, or all.
    pub(crate) secret: Option<&'a str>,
    /// Who.
    pub(crate) by: &'a Principal,
    /// Why.
    pub(crate) reason: &'a str,
}

/// An object that is removed, with the logical secret that it is known as.
struct Target {
    lane: Lane,
    place: SecretPlace,
    secret: Option<String>,
    keys: BTreeSet<String>,
}

impl Inner {
    /// `secrets revoke`, behind the guard.
    pub(super) async fn revoke(
        &self,
        request: SecretRevokeRequest,
    ) -> Result<SecretRevokeReport, ApiError> {
        if request.reason.trim().is_empty() {
            let message = "a revocation needs a reason (D-AUDIT-1)";
            return Err(ApiError::new(ErrorCode::Usage, message));
        }
        let secret = match &request.secret {
            Some(name) => Some(policy::secret_named(name)?.kebab()),
            None => None,
        };
        let lanes = match (&request.lane, &secret) {
            (None, Some(_)) => vec![self.lane_named(None)?],
            (lane, _) => self.lanes_named(lane.as_deref())?,
        };
        self.revoke_secrets_of(Revocation {
            lanes: &lanes,
            secret: secret.as_deref(),
            by: &request.actor,
            reason: &request.reason,
        })
        .await
    }

    /// Removes every secret of these lanes, for an emergency; the caller has passed the guard. Can be
    /// repeated: what is gone stays gone, and what was left is tried again.
    ///
    /// # Errors
    /// When the store can not be read or written. What can not be removed is in the report.
    pub(crate) async fn revoke_all(
        &self,
        lanes: &[Lane],
        by: &Principal,
        reason: &str,
    ) -> Result<SecretRevokeReport, ApiError> {
        self.revoke_secrets_of(Revocation {
            lanes,
            secret: None,
            by,
            reason,
        })
        .await
    }

    async fn revoke_secrets_of(
        &self,
        what: Revocation<'_>,
    ) -> Result<SecretRevokeReport, ApiError> {
        let mut report = SecretRevokeReport::default();
        let Some(vault) = self.vault.as_deref() else {
            return Ok(report);
        };
        let _alone = vault.alone().await?;
        let targets = self.targets(&what, &mut report).await?;
        self.stop_holders(&targets, &what, &mut report).await?;
        let mut removed = BTreeSet::new();
        let mut forgotten = BTreeSet::new();
        for target in &targets {
            let shown = format!("{}/{}", target.lane, target.place.object);
            let gone = match vault.backend().remove(&target.place, None).await {
                Ok(gone) => gone,
                Err(error) => {
                    report.left.insert(shown, refused(&error).message);
                    continue;
                }
            };
            if gone {
                removed.insert((target.lane.clone(), target.place.object.to_string()));
                report.removed.push(shown);
            }
            if let Some(secret) = &target.secret {
                forgotten.insert((target.lane.clone(), secret.clone()));
            }
            self.tell_ambient(target, &mut report)?;
        }
        // Whoever was launched between the first look and the removal holds one as well.
        self.stop_holders(&targets, &what, &mut report).await?;
        let forget = ForgetSecrets {
            secrets: forgotten,
            removed,
            stopped: report.stopped.clone(),
            actor: what.by.clone(),
            reason: what.reason.to_owned(),
            now: self.now(),
        };
        self.store
            .secret_forget(forget)
            .await
            .map_err(store_error)?;
        self.changed.notify_waiters();
        Ok(report)
    }

    /// Everything on record; what is kept and is the lane's own; and the secret that was named, though
    /// nobody recorded it.
    async fn targets(
        &self,
        what: &Revocation<'_>,
        report: &mut SecretRevokeReport,
    ) -> Result<Vec<Target>, ApiError> {
        let vault = self.must_vault()?;
        let backend = vault.backend();
        let mut targets = BTreeMap::new();
        for lane in what.lanes {
            let names = policy::lane_secrets(self.lane_settings(lane)?)?;
            let wanted = |name: &str| what.secret.is_none_or(|secret| secret == name);
            let records = self
                .store
                .secrets_list(Some(lane))
                .await
                .map_err(store_error)?;
            for record in records.into_iter().filter(|record| wanted(&record.name)) {
                let place = SecretPlace {
                    lane: lane.to_string(),
                    environment: record.environment,
                    object: record.object.parse().map_err(|error| refused(&error))?,
                };
                let target = Target {
                    lane: lane.clone(),
                    place: place.clone(),
                    secret: Some(record.name),
                    keys: record.keys.into_keys().collect(),
                };
                targets.insert(place, target);
            }
            let mut kept = Vec::new();
            if let Some(secret) = what.secret {
                kept.push(policy::place(&names, &policy::secret_named(secret)?)?);
            } else {
                match backend.list(lane.as_str(), &names.environment).await {
                    Ok(objects) => {
                        for object in objects {
                            let ours = backend.is_readable()
                                || names
                                    .claims(&object.object)
                                    .map_err(|error| refused(&error))?;
                            let place = SecretPlace {
                                lane: lane.to_string(),
                                environment: names.environment.clone(),
                                object: object.object,
                            };
                            if ours {
                                kept.push(place);
                            }
                        }
                    }
                    Err(error) => {
                        report
                            .left
                            .insert(format!("{lane}/*"), refused(&error).message);
                    }
                }
            }
            for place in kept {
                let secret = what.secret.map(str::to_owned);
                let target = || Target {
                    lane: lane.clone(),
                    place: place.clone(),
                    secret,
                    keys: BTreeSet::new(),
                };
                targets.entry(place.clone()).or_insert_with(target);
            }
        }
        Ok(targets.into_values().collect())
    }

    /// Ends every live run that was given one of them.
    async fn stop_holders(
        &self,
        targets: &[Target],
        what: &Revocation<'_>,
        report: &mut SecretRevokeReport,
    ) -> Result<(), ApiError> {
        let mut holders = Vec::new();
        for live in self.store.runs_live().await.map_err(store_error)? {
            if self.holds(&live.run, targets).await? {
                holders.push(live.run);
            }
        }
        let mut ending = Vec::new();
        for run in holders {
            let cancel = CancelRun {
                run: run.id,
                kind: CancelKind::Killed,
                actor: what.by.to_string(),
                reason: format!("a secret that it holds is revoked: {}", what.reason),
                seen: None,
                now: self.now(),
            };
            ending.push(self.store.run_cancel(cancel).await.map_err(store_error)?);
        }
        self.changed.notify_waiters();
        let ends = self.end_all(&ending, Duration::ZERO).await?;
        let known: BTreeSet<RunId> = report.stopped.iter().copied().collect();
        report
            .stopped
            .extend(ends.dead.into_iter().filter(|run| !known.contains(run)));
        for run in &report.stopped {
            report.left.remove(&format!("run/{run}"));
        }
        let unreached = ends.unreached.into_iter();
        report
            .left
            .extend(unreached.map(|(run, why)| (format!("run/{run}"), why)));
        Ok(())
    }

    /// Whether a run was given one of these objects.
    async fn holds(&self, run: &Run, targets: &[Target]) -> Result<bool, ApiError> {
        if run.mode == Mode::Mock || run.secret_names.is_empty() {
            return Ok(false);
        }
        let spec = self.spec_of(run).await?;
        let used = spec
            .secrets
            .iter()
            .filter(|secret| run.secret_names.contains(&secret.name));
        let names = policy::lane_secrets(self.lane_settings(&run.lane)?)?;
        for requirement in requirements(used)? {
            let place = policy::place(&names, requirement.secret())?;
            let name = requirement.secret().kebab();
            let hit = |target: &Target| {
                target.lane == run.lane
                    && (target.place.object == place.object
                        || target.secret.as_deref() == Some(name.as_str()))
            };
            if targets.iter().any(hit) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Values that the environment or a file also supply are not Moorline's to remove: it says so.
    fn tell_ambient(
        &self,
        target: &Target,
        report: &mut SecretRevokeReport,
    ) -> Result<(), ApiError> {
        if !self.takes_ambient(self.lane_settings(&target.lane)?) {
            return Ok(());
        }
        for key in &target.keys {
            let Ok(parsed) = key.parse::<EnvKey>() else {
                continue;
            };
            if let Some(origin) = self
                .secrets
                .origin_of(&parsed)
                .map_err(|error| refused(&error))?
            {
                let why = format!("{origin} still has it; remove it there");
                report.left.insert(format!("{}/{key}", target.lane), why);
            }
        }
        Ok(())
    }
}
