//! Whom an alert is told: what the settings name, and what the spec of the failed job names.
//!
//! A delivery is stored under the name of its destination and nothing else, so that no target and no secret
//! of one is ever kept. When it is sent, the destination is looked up again by that name: a corrected URL
//! holds for what is still on its way, and a destination that was taken out of the settings is given up.

use moorline_api::ApiError;
use moorline_core::alert::Alert;
use moorline_core::config::{AlertDestination, DestinationChannel};
use moorline_core::error_code::{AlertLevel, ErrorCode};
use moorline_core::lane::Lane;
use moorline_core::spec::{self, AlertChannel, JobSpec, SecretDecl};
use moorline_secrets::SecretEnv;

use crate::engine::Inner;
use crate::secrets::requirements;

/// A destination, as its name stands for it now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Destination {
    /// What it is called, in lists and in the outbox.
    pub(crate) name: String,
    pub(crate) channel: DestinationChannel,
    pub(crate) target: Given,
    /// What signs (`webhook`) or signs in (`email`).
    pub(crate) secret: Option<Given>,
    /// The mail server as `host:port`.
    pub(crate) smtp: Option<String>,
    /// The sender of mails.
    pub(crate) from: Option<String>,
    pub(crate) min_level: AlertLevel,
}

/// A value that is written down, or a secret whose first key is it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Given {
    Plain(String),
    /// A secret key that the settings name: the environment and `secrets.env` have it, or else the lane.
    Key(SecretDecl),
    /// A secret that the job declares: its lane has it (D-SEC-7).
    OfJob(SecretDecl),
}

impl Given {
    /// A key of the settings is a secret of that name with that one key.
    fn key(key: &str) -> Self {
        Self::Key(SecretDecl {
            name: key.to_owned(),
            kind: None,
            keys: vec![key.to_owned()],
            required: true,
        })
    }
}

/// A destination with its secrets resolved, for the time of one attempt.
pub(crate) struct Resolved {
    pub(crate) destination: Destination,
    pub(crate) target: String,
    pub(crate) secret: Option<String>,
    /// Every secret value in here, for the redaction of what is said about the attempt.
    pub(crate) values: SecretEnv,
}

impl Destination {
    fn of_settings(given: &AlertDestination) -> Self {
        let target = match (&given.target_secret, &given.target) {
            (Some(secret), _) => Given::key(secret),
            (None, target) => Given::Plain(target.clone().unwrap_or_default()),
        };
        Self {
            name: given.name.clone(),
            channel: given.channel,
            target,
            secret: given.secret.as_deref().map(Given::key),
            smtp: given.smtp.clone(),
            from: given.from.clone(),
            min_level: given.min_level.unwrap_or(AlertLevel::Warning),
        }
    }

    /// A job says whom to mail, and not by which server: that is the one of the settings' first mail
    /// destination.
    fn of_job(spec: &JobSpec, alert: &spec::Alert, mail: Option<&AlertDestination>) -> Self {
        let secret = |name: &String| {
            let declared = spec.secrets.iter().find(|secret| secret.name == *name);
            // A checked spec names only what it declares.
            declared
                .cloned()
                .map_or_else(|| Given::key(name), Given::OfJob)
        };
        let channel = match alert.channel {
            AlertChannel::Email => DestinationChannel::Email,
            AlertChannel::Webhook => DestinationChannel::Webhook,
            AlertChannel::Slack => DestinationChannel::Slack,
        };
        let word = match channel {
            DestinationChannel::Email => "email",
            DestinationChannel::Webhook => "webhook",
            DestinationChannel::Slack => "slack",
        };
        let (target, shown) = match (&alert.target_secret, &alert.target) {
            (Some(name), _) => (secret(name), format!("secret {name}")),
            (None, target) => {
                let target = target.clone().unwrap_or_default();
                (Given::Plain(target.clone()), target)
            }
        };
        let mail = mail.filter(|_| channel == DestinationChannel::Email);
        Self {
            name: format!("job:{word}:{shown}"),
            channel,
            target,
            secret: match mail {
                Some(mail) => Self::of_settings(mail).secret,
                None => alert.secret.as_ref().map(secret),
            },
            smtp: mail.and_then(|mail| mail.smtp.clone()),
            from: mail.and_then(|mail| mail.from.clone()),
            min_level: alert.min_level,
        }
    }
}

impl Inner {
    /// Every destination that an alert could be told to, whatever its level; none twice.
    pub(super) async fn destinations(&self, alert: &Alert) -> Result<Vec<Destination>, ApiError> {
        let settings = &self.config.settings.alerts;
        let mut all: Vec<Destination> = settings.iter().map(Destination::of_settings).collect();
        if let Some(run) = alert.run_id {
            let run = self.must_get(run).await?;
            let spec = self.spec_of(&run).await?;
            let mail = settings
                .iter()
                .find(|given| given.channel == DestinationChannel::Email && given.smtp.is_some());
            for told in &spec.alerts {
                let destination = Destination::of_job(&spec, told, mail);
                if all.iter().all(|known| known.name != destination.name) {
                    all.push(destination);
                }
            }
        }
        Ok(all)
    }

    /// A destination of the settings by its name.
    pub(super) fn configured(&self, name: &str) -> Result<Destination, ApiError> {
        let settings = &self.config.settings.alerts;
        let found = settings.iter().find(|given| given.name == name);
        found.map(Destination::of_settings).ok_or_else(|| {
            let known: Vec<&str> = settings.iter().map(|given| given.name.as_str()).collect();
            let hint = if known.is_empty() {
                "none is configured: add `[alerts.NAME]` to moorline.toml".to_owned()
            } else {
                format!("configured are: {}", known.join(", "))
            };
            ApiError::new(
                ErrorCode::NotFound,
                format!("no alert destination `{name}`"),
            )
            .hint(hint)
        })
    }

    /// Looks the secrets of a destination up, at the time of sending and never before.
    ///
    /// # Errors
    /// What is missing, by name; never a value.
    pub(super) async fn resolve(
        &self,
        destination: Destination,
        alert: &Alert,
    ) -> Result<Resolved, String> {
        let lane = self.lane_of(alert).await?;
        let mut values = SecretEnv::new();
        let target = self.value(&destination.target, &lane, &mut values).await?;
        let secret = match &destination.secret {
            Some(secret) => Some(self.value(secret, &lane, &mut values).await?),
            None => None,
        };
        Ok(Resolved {
            destination,
            target,
            secret,
            values,
        })
    }

    /// The lane of the run that an alert follows from; others are about the installation: production.
    async fn lane_of(&self, alert: &Alert) -> Result<Lane, String> {
        match alert.run_id {
            Some(run) => {
                let run = self
                    .must_get(run)
                    .await
                    .map_err(|error| error.to_string())?;
                Ok(run.lane)
            }
            None => Ok(Lane::PROD),
        }
    }

    /// A value; one of a secret goes to `values` too.
    async fn value(
        &self,
        given: &Given,
        lane: &Lane,
        values: &mut SecretEnv,
    ) -> Result<String, String> {
        let (secret, ambient) = match given {
            Given::Plain(text) => return Ok(text.clone()),
            Given::Key(secret) => (secret, true),
            Given::OfJob(secret) => (secret, false),
        };
        let needed = requirements([secret]).map_err(|error| error.to_string())?;
        let here = ambient
            .then(|| self.secrets.resolve(&needed).ok())
            .flatten();
        let found = match here {
            Some(found) => found,
            None => self
                .lane_values(lane, &needed)
                .await
                .map_err(|error| error.to_string())?,
        };
        let first = secret.keys.first().and_then(|key| key.parse().ok());
        let value = first
            .and_then(|key| Some((found.get(&key)?.clone(), found.origin(&key)?.clone(), key)));
        let Some((value, origin, key)) = value else {
            return Err(format!("the secret {} is not set", secret.name));
        };
        let text = value.expose().to_owned();
        // Only a key that is there twice is refused, and then its value is known already.
        drop(values.insert(key, value, origin));
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_mails_by_the_server_of_the_settings_and_keeps_its_own_secret_for_the_rest() {
        let spec = json!({
            "job_id": "statement",
            "steps": [{"name": "a", "argv": ["/bin/true"]}],
            "secrets": [{"name": "hook", "keys": ["HOOK_URL"]}, {"name": "sign", "keys": ["HOOK_KEY"]}],
            "alerts": [
                {"channel": "email", "target": "ops@example.com", "min_level": "critical"},
                {"channel": "webhook", "target_secret": "hook", "secret": "sign"}
            ]
        });
        let spec = spec::load(spec.to_string().as_bytes()).unwrap();
        let mail = AlertDestination {
            name: "mail".to_owned(),
            channel: DestinationChannel::Email,
            target: Some("all@example.com".to_owned()),
            target_secret: None,
            secret: Some("SMTP_PASSWORD".to_owned()),
            smtp: Some("mail.example.com:587".to_owned()),
            from: Some("moorline@example.com".to_owned()),
            min_level: None,
        };
        let of = |index: usize| Destination::of_job(&spec, &spec.alerts[index], Some(&mail));
        let email = of(0);
        assert_eq!(email.name, "job:email:ops@example.com");
        assert_eq!(email.smtp.as_deref(), Some("mail.example.com:587"));
        assert_eq!(email.min_level, AlertLevel::Critical);
        assert_eq!(email.secret, Some(Given::key("SMTP_PASSWORD")));
        let hook = of(1);
        assert_eq!(hook.name, "job:webhook:secret hook");
        let declared = |index: usize| Given::OfJob(spec.secrets[index].clone());
        assert_eq!(hook.target, declared(0));
        assert_eq!(hook.secret, Some(declared(1)));
        assert_eq!(hook.smtp, None);
    }
}
