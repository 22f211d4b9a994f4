//! Secrets: names, keys and when they end. Never a value; none comes here.

use askama::Template;
use axum::response::Response;
use moorline_api::Operation;
use moorline_api::secrets::{SecretListRequest, SecretOperations as _, SecretView};
use moorline_core::secret::ExpiryStage;

use super::html;
use crate::dashboard::chrome::{Area, Chrome};
use crate::dashboard::fault::Fault;
use crate::dashboard::parts::{Badge, Countdown, Moment, Tone};
use crate::dashboard::viewer::Viewer;

/// A secret in the list.
struct SecretLine {
    lane: String,
    name: String,
    object: String,
    backend: String,
    keys: Vec<(String, Moment, String)>,
    source: Option<String>,
    expires: Option<Countdown>,
    expiry: Badge,
}

impl SecretLine {
    fn of(viewer: &Viewer, secret: SecretView) -> Self {
        let key = |key: moorline_api::secrets::SecretKeySet| {
            (key.key, viewer.moment(key.set_at), key.by.to_string())
        };
        Self {
            lane: secret.lane.to_string(),
            name: secret.secret,
            object: secret.object,
            backend: secret.backend,
            keys: secret.keys.into_iter().map(key).collect(),
            source: secret.source_id,
            expiry: match secret.expiry {
                Some(ExpiryStage::Expired) => Badge::new(Tone::Bad, "expired"),
                Some(ExpiryStage::Expiring) => Badge::new(Tone::Warn, "expiring"),
                None => Badge::new(Tone::Good, "kept"),
            },
            expires: secret.expires_at.map(|at| viewer.countdown(at)),
        }
    }
}

#[derive(Template)]
#[template(path = "secrets.html")]
struct Page {
    chrome: Chrome,
    secrets: Vec<SecretLine>,
}

/// The page.
pub(super) async fn page(viewer: Viewer) -> Result<Response, Fault> {
    viewer.permit(Operation::SecretList)?;
    let secrets = viewer
        .engine()
        .secret_list(SecretListRequest { lane: None })
        .await?;
    let page = Page {
        chrome: Chrome::load(&viewer, Area::Secrets, "Secrets").await?,
        secrets: secrets
            .into_iter()
            .map(|secret| SecretLine::of(&viewer, secret))
            .collect(),
    };
    html(&page)
}
