//! Setting and rotating keys of a secret.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use moorline_api::secrets::{SecretSetRequest, SecretView};
use moorline_api::{ApiError, ErrorDetail, Operation};
use moorline_core::error_code::ErrorCode;
use moorline_core::lane::Lane;
use moorline_core::secret::{SecretChange, SecretChangeKind, apply};
use moorline_secrets::backend::SecretValues;
use moorline_secrets::{EnvKey, SecretValue};
use moorline_store::RecordSecret;

use super::{policy, view};
use crate::engine::Inner;
use crate::error::store_error;
use crate::secrets::refused;

impl Inner {
    /// Sets or rotates, past the guard.
    pub(super) async fn change_secret(
        &self,
        kind: SecretChangeKind,
        request: SecretSetRequest,
    ) -> Result<SecretView, ApiError> {
        let operation = match kind {
            SecretChangeKind::Set => Operation::SecretSet,
            SecretChangeKind::Rotate => Operation::SecretRotate,
        };
        let lane = self.lane_named(request.lane.as_deref())?;
        let actor = request.actor.clone();
        let subject = format!("secret/{lane}/{}", request.secret);
        let work = self.keep_secret(kind, lane, request);
        self.guarded(operation, &actor, subject, work).await
    }

    /// First the back end, then the record. Should the record fail, what is kept differs from what is
    /// recorded, which `secrets audit` tells and the same command mends.
    pub(crate) async fn keep_secret(
        &self,
        kind: SecretChangeKind,
        lane: Lane,
        request: SecretSetRequest,
    ) -> Result<SecretView, ApiError> {
        let vault = self.must_vault()?;
        let names = policy::lane_secrets(self.lane_settings(&lane)?)?;
        let secret = policy::secret_named(&request.secret)?;
        let place = policy::place(&names, &secret)?;
        let values = values(&request)?;
        let hashes = vault.hashes().await?;
        let now = self.now();
        let ttl = request
            .ttl_hours
            .map(|hours| SignedDuration::from_hours(hours.into()));
        let change = SecretChange {
            kind,
            name: secret.kebab(),
            object: place.object.to_string(),
            environment: place.environment.clone(),
            backend: vault.kind().to_owned(),
            fingerprints: values
                .iter()
                .map(|(key, value)| (key.to_string(), hashes.fingerprint(value)))
                .collect::<BTreeMap<_, _>>(),
            key_id: hashes.key_id(),
            expires_at: ttl.and_then(|ttl| now.checked_add(ttl).ok()),
            warn_hours: request.warn_hours,
            source_id: request.source_id.clone(),
            lane: lane.clone(),
        };
        let _alone = vault.alone().await?;
        let known = self
            .store
            .secrets_list(Some(&lane))
            .await
            .map_err(store_error)?;
        let known = known.into_iter().find(|record| record.name == change.name);
        // What would be refused is refused before anything is written; the store decides once more.
        apply(known.as_ref(), &change, &request.actor, now)?;
        let backend = vault.backend();
        backend
            .put(&place, &values)
            .await
            .map_err(|error| refused(&error))?;
        let record = self
            .store
            .secret_record(RecordSecret {
                change,
                actor: request.actor,
                reason: request.reason,
                now,
            })
            .await
            .map_err(store_error)?;
        self.changed.notify_waiters();
        Ok(view(record, now))
    }
}

/// The values by checked keys; what is wrong with each is said at once, without it.
fn values(request: &SecretSetRequest) -> Result<SecretValues, ApiError> {
    let mut values = SecretValues::new();
    let mut details = Vec::new();
    for (name, value) in &request.values {
        let problem = match name.parse::<EnvKey>() {
            Err(error) => error.to_string(),
            Ok(_) if value.expose().is_empty() => {
                "its value is empty, which counts as missing".to_owned()
            }
            Ok(_) if value.expose().contains('\0') => {
                "its value holds a NUL byte, which no environment variable can".to_owned()
            }
            Ok(key) => {
                values.insert(key, SecretValue::from(value.expose()));
                continue;
            }
        };
        details.push(ErrorDetail {
            at: if name.parse::<EnvKey>().is_ok() {
                name.clone()
            } else {
                "key".to_owned()
            },
            rule: "D-SEC-1".to_owned(),
            message: problem,
            hint: None,
        });
    }
    if details.is_empty() && values.is_empty() {
        return Err(ApiError::new(ErrorCode::Usage, "no key is given (D-SEC-1)")
            .hint("name each: `--key KEY`"));
    }
    if details.is_empty() {
        return Ok(values);
    }
    let message = format!("the secret {} can not be set", request.secret);
    Err(ApiError::new(ErrorCode::Usage, message)
        .hint("nothing was changed")
        .with_details(details))
}
