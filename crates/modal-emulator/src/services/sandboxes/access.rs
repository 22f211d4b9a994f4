//! Bearer tokens for the command router: each opens one task, for a day.
//!
//! They have the form of JSON web tokens, since clients read the expiry. The key is made anew with each
//! emulator: tokens of an earlier one are refused, and clients then fetch another.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use moorline_modal_proto::client::CommandRouterAccess;
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};
use tonic::Status;

use crate::call::{Caller, Meta};
use crate::services::named::now;
use crate::world::World;

/// How long a token is good.
const LIFETIME: Duration = Duration::from_hours(24);

/// What signs the tokens of this emulator.
#[derive(Debug)]
pub(crate) struct Key([u8; 32]);

impl Default for Key {
    fn default() -> Self {
        Self(rand::rng().random())
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Claims {
    /// The task.
    sub: String,
    /// Seconds since 1970.
    exp: u64,
}

impl Key {
    /// A token for a task.
    pub(crate) fn token(&self, task_id: &str) -> String {
        self.token_until(task_id, now() + LIFETIME.as_secs_f64())
    }

    fn token_until(&self, task_id: &str, expiry: f64) -> String {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "seconds of this century"
        )]
        let claims = Claims {
            sub: task_id.to_owned(),
            exp: expiry as u64,
        };
        let claims = serde_json::to_string(&claims).unwrap_or_default();
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = self.signature(&signed);
        format!("{signed}.{signature}")
    }

    /// The task that a token opens.
    fn opens(&self, token: &str) -> Option<String> {
        let (signed, signature) = token.rsplit_once('.')?;
        if self.signature(signed) != signature {
            return None;
        }
        let (_, claims) = signed.split_once('.')?;
        let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
        let claims: Claims = serde_json::from_slice(&claims).ok()?;
        #[expect(clippy::cast_precision_loss, reason = "seconds of this century")]
        let expiry = claims.exp as f64;
        (expiry > now()).then_some(claims.sub)
    }

    /// Keyed on both ends, so that nothing can be appended.
    fn signature(&self, signed: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(signed);
        hash.update(self.0);
        URL_SAFE_NO_PAD.encode(hash.finalize())
    }
}

/// Where and how the router of a task is reached by this caller.
pub(crate) fn grant(world: &World, meta: &Meta, task_id: &str) -> CommandRouterAccess {
    // libmodal demands https for the router, and dials loopback in plaintext all the same.
    let scheme = match meta.caller() {
        Caller::Libmodal => "https",
        Caller::Python | Caller::Container => "http",
    };
    CommandRouterAccess {
        jwt: world.sandboxes.key.token(task_id),
        url: format!("{scheme}://{}", world.address),
    }
}

/// The task that the caller of a router RPC may act on.
///
/// # Errors
/// `UNAUTHENTICATED`: the client then fetches a token anew.
pub(crate) fn granted(world: &World, meta: &Meta) -> Result<String, Status> {
    let token = meta
        .header("authorization")
        .and_then(|value| value.strip_prefix("Bearer "));
    let task = token.and_then(|token| world.sandboxes.key.opens(token));
    task.ok_or_else(|| {
        Status::unauthenticated("the token of the command router is not valid any more")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_its_task_until_it_expires_and_only_with_its_key() {
        let key = Key::default();
        let token = key.token("ta-1");
        assert_eq!(key.opens(&token).as_deref(), Some("ta-1"));
        assert_eq!(Key::default().opens(&token), None);
        assert_eq!(key.opens(&format!("{token}x")), None);
        assert_eq!(key.opens("nonsense"), None);
        assert_eq!(key.opens(&key.token_until("ta-1", now() - 1.0)), None);
    }
}
