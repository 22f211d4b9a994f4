//! The short-lived token (`AuthTokenGet`): fetched by one caller at a time, renewed before it expires.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;

use super::clock;
use super::headers::token_value;
use crate::error::{Error, ErrorKind, Result};

/// The life of a token that does not tell its end.
const DEFAULT_LIFE: Duration = Duration::from_mins(20);
/// A token this close to its end is treated as expired: it must survive the call.
const MARGIN: Duration = Duration::from_secs(5);
/// Waits between failed fetches.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LAST_BACKOFF: Duration = Duration::from_mins(1);

#[derive(Clone)]
struct Token {
    /// `None` if the server gave none: then calls go without.
    value: Option<HeaderValue>,
    /// Wall time.
    refresh_at: Duration,
    /// Wall time.
    expires_at: Duration,
}

/// After failures: not before this time, and how long to wait after the next.
#[derive(Default)]
struct Failures {
    not_before: Duration,
    backoff: Duration,
}

/// Keeps the current token.
#[derive(Default)]
pub(crate) struct TokenManager {
    current: RwLock<Option<Token>>,
    fetching: tokio::sync::Mutex<Failures>,
}

impl std::fmt::Debug for TokenManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenManager").finish_non_exhaustive()
    }
}

impl TokenManager {
    fn current(&self) -> Option<Token> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, token: Option<Token>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = token;
    }

    /// The server refused the token: the next call fetches another one.
    pub(crate) fn forget(&self) {
        self.set(None);
    }

    /// The token to send now. While a fresh one is being fetched, others go on with the old one as long
    /// as it holds; without a valid one they wait for that one fetch.
    pub(crate) async fn get<F>(&self, fetch: impl Fn() -> F) -> Result<Option<HeaderValue>>
    where
        F: Future<Output = Result<String>>,
    {
        let now = clock::wall();
        let valid = self
            .current()
            .filter(|token| now + MARGIN < token.expires_at);
        let mut failures = match &valid {
            Some(token) if now < token.refresh_at => return Ok(token.value.clone()),
            Some(token) => match self.fetching.try_lock() {
                Ok(failures) if failures.not_before <= now => failures,
                _ => return Ok(token.value.clone()),
            },
            None => self.fetching.lock().await,
        };
        // Another caller may have fetched it while this one waited.
        if valid.is_none()
            && let Some(token) = self.current()
            && clock::wall() + MARGIN < token.expires_at
        {
            return Ok(token.value);
        }
        if valid.is_none() {
            let pause = failures.not_before.saturating_sub(clock::wall());
            tokio::time::sleep(pause.min(LAST_BACKOFF)).await;
        }
        match fetch().await {
            Ok(text) => {
                *failures = Failures::default();
                let token = token_of(&text, clock::wall(), rand::random())?;
                let value = token.value.clone();
                self.set(Some(token));
                Ok(value)
            }
            Err(error) => {
                let refused = matches!(
                    error.kind(),
                    ErrorKind::Unauthenticated | ErrorKind::PermissionDenied
                );
                if !refused {
                    failures.backoff = (failures.backoff * 2).clamp(FIRST_BACKOFF, LAST_BACKOFF);
                    failures.not_before = clock::wall() + failures.backoff;
                }
                match valid {
                    Some(token) if !refused => {
                        tracing::warn!(%error, "the auth token could not be renewed; the old one still holds");
                        Ok(token.value)
                    }
                    _ => Err(error),
                }
            }
        }
    }
}

/// Reads a token. Only its end is looked at: who signed it is the server's business.
fn token_of(text: &str, now: Duration, jitter: f64) -> Result<Token> {
    let value = match text {
        "" => None,
        text => Some(token_value(text).ok_or_else(|| {
            Error::new(
                ErrorKind::Protocol,
                "the auth token holds characters that no header can carry",
            )
        })?),
    };
    let life = expiry(text).map_or(DEFAULT_LIFE, |at| at.saturating_sub(now));
    Ok(Token {
        value,
        // Somewhere between 50 and 60 % of its life, so that clients do not all come at once.
        refresh_at: now + life.mul_f64(0.5 + 0.1 * jitter.clamp(0.0, 1.0)),
        expires_at: now + life,
    })
}

/// The `exp` claim of a JWT, since the Unix epoch.
pub(crate) fn expiry(jwt: &str) -> Option<Duration> {
    #[derive(serde::Deserialize)]
    struct Claims {
        exp: f64,
    }
    let payload = jwt.split('.').nth(1)?;
    let bytes = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let claims: Claims = serde_json::from_slice(&bytes).ok()?;
    Duration::try_from_secs_f64(claims.exp).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn jwt(claims: &str) -> String {
        format!(
            "{}.{}.sig",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
            URL_SAFE_NO_PAD.encode(claims)
        )
    }

    #[test]
    fn the_end_is_read_from_the_claims() {
        assert_eq!(
            expiry(&jwt(r#"{"exp":1000,"x":"y"}"#)),
            Some(Duration::from_secs(1000))
        );
        assert_eq!(expiry(&jwt(r#"{"x":1}"#)), None);
        assert_eq!(expiry(&jwt(r#"{"exp":-5}"#)), None);
        assert_eq!(expiry("opaque"), None);
        assert_eq!(expiry("a.!!.c"), None);
    }

    #[test]
    fn it_is_renewed_between_half_and_six_tenths_of_its_life() {
        let now = Duration::from_secs(10_001);
        let token = |jitter| token_of(&jwt(r#"{"exp":11001}"#), now, jitter).unwrap();
        assert_eq!(token(0.0).refresh_at, Duration::from_secs(10_501));
        assert_eq!(token(1.0).refresh_at, Duration::from_secs(10_601));
        assert_eq!(token(0.3).expires_at, Duration::from_secs(11_001));
        assert_eq!(
            token_of("opaque", now, 0.0).unwrap().expires_at,
            now + DEFAULT_LIFE
        );
        assert!(token_of("", now, 0.0).unwrap().value.is_none());
        assert!(token_of("a\nb", now, 0.0).is_err());
    }

    #[tokio::test]
    async fn many_callers_fetch_once() {
        let manager = TokenManager::default();
        let fetches = AtomicU32::new(0);
        let fetch = || async {
            fetches.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok("opaque".to_owned())
        };
        let all = futures::future::join_all((0..50).map(|_| manager.get(fetch))).await;
        assert!(all.iter().all(|token| {
            token
                .as_ref()
                .is_ok_and(|token| token.as_ref().unwrap() == "opaque")
        }));
        assert_eq!(fetches.load(Ordering::Relaxed), 1);
        manager.forget();
        manager.get(fetch).await.unwrap();
        assert_eq!(fetches.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn an_old_token_outlives_a_failed_renewal_but_not_a_refusal() {
        let manager = TokenManager::default();
        let now = clock::wall();
        let aging = Token {
            value: token_value("old"),
            refresh_at: now,
            expires_at: now + Duration::from_mins(1),
        };
        manager.set(Some(aging));
        let failing = |kind| move || async move { Err::<String, _>(Error::new(kind, "no")) };
        let token = manager.get(failing(ErrorKind::Unavailable)).await.unwrap();
        assert_eq!(token.unwrap(), "old");
        *manager.fetching.lock().await = Failures::default();
        assert!(
            manager
                .get(failing(ErrorKind::Unauthenticated))
                .await
                .is_err()
        );
    }
}
