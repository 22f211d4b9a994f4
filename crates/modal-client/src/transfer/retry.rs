//! When a transfer is tried again, and what its failure is called.

use std::error::Error as StdError;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use tokio::time::Instant;

use super::source::BodyError;
use super::stats::Counters;
use super::{TransferOptions, Transfers};
use crate::transport::instant;
use crate::{Error, ErrorKind, Result};

/// How much of an error's body is read.
const ERROR_BODY: usize = 2048;

/// One attempt that failed.
#[derive(Debug)]
pub(super) enum Failed {
    /// Another attempt may succeed, after the usual wait or the one that the server asks for.
    Again(Error, Option<Duration>),
    /// It would fail again.
    For(Error),
}

impl Failed {
    pub(super) fn again(error: Error) -> Self {
        Self::Again(error, None)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::For(error)
    }
}

/// The attempts of one transfer so far.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    transfers: &'a Transfers,
    what: &'a str,
    number: u32,
    began: Instant,
}

impl Attempts<'_> {
    /// Waits until the next attempt is due, or fails: for good, or because the budget is used up.
    pub(super) async fn after(&mut self, failed: Failed) -> Result<()> {
        let options = &*self.transfers.options;
        let (error, asked) = match failed {
            Failed::For(error) => return Err(error.context(self.what)),
            Failed::Again(error, asked) => (error, asked),
        };
        self.number += 1;
        let wait = wait(options, self.number, asked, rand::random());
        if self.number >= options.attempts || self.began.elapsed() + wait >= options.total {
            return Err(error.context(self.what));
        }
        tracing::debug!(what = self.what, number = self.number, %error, "a transfer is repeated");
        Counters::add(&self.transfers.counters.retries, 1);
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

impl Transfers {
    /// Begins to count the attempts of `what`.
    pub(super) fn attempts<'a>(&'a self, what: &'a str) -> Attempts<'a> {
        Attempts {
            transfers: self,
            what,
            number: 0,
            began: instant(),
        }
    }

    /// Bounds one step of a transfer, so that one that stands still is given up.
    pub(super) async fn moving<T>(&self, step: impl Future<Output = T>) -> Result<T, Failed> {
        tokio::time::timeout(self.options.stall, step)
            .await
            .map_err(|_| {
                let message = format!("nothing moved for {} s", self.options.stall.as_secs());
                Failed::again(Error::new(ErrorKind::Timeout, message))
            })
    }
}

/// The wait after attempt `number` (counted from 1): exponential with up to a quarter of jitter, but what
/// the server asked for if that is longer.
fn wait(options: &TransferOptions, number: u32, asked: Option<Duration>, jitter: f64) -> Duration {
    let doubled = options
        .base_delay
        .saturating_mul(2_u32.saturating_pow(number.saturating_sub(1)));
    let usual = doubled
        .min(options.max_delay)
        .mul_f64(0.75 + jitter.clamp(0.0, 1.0) / 4.0);
    asked.unwrap_or_default().min(options.total).max(usual)
}

/// The response if it is a success; else what its status means.
pub(super) async fn successful(
    response: Response,
    options: &TransferOptions,
) -> Result<Response, Failed> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let host = host(response.url());
    let asked = retry_after(response.headers());
    let error = status_error(status, &host, &said(response).await);
    Err(match status {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            Failed::Again(error, Some(asked.unwrap_or(options.slow_down)))
        }
        StatusCode::REQUEST_TIMEOUT => Failed::Again(error, asked),
        status if status.is_server_error() => Failed::Again(error, asked),
        _ => Failed::For(error),
    })
}

/// What a request that got no response failed of, without its URL.
pub(super) fn unsent(error: reqwest::Error) -> Failed {
    let host = error.url().map(host).unwrap_or_default();
    let unreadable = causes(&error).any(<dyn StdError>::is::<BodyError>);
    let error = error.without_url();
    if error.is_builder() {
        let message = "the server's answer holds a URL that can not be used";
        return Failed::For(Error::new(ErrorKind::Protocol, message).with_source(error));
    }
    if unreadable {
        return Failed::For(
            Error::new(ErrorKind::Io, "the content can not be read").with_source(error),
        );
    }
    let kind = if error.is_timeout() {
        ErrorKind::Timeout
    } else {
        ErrorKind::Unavailable
    };
    Failed::again(Error::new(kind, format!("the connection to {host} failed")).with_source(error))
}

fn causes<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |cause: &&'a (dyn StdError + 'static)| {
        (*cause).source()
    })
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
        .map(Duration::from_secs)
}

pub(super) fn host(url: &Url) -> String {
    url.host_str().unwrap_or("no host").to_owned()
}

/// The first line of an error's body; object stores answer XML, of which the message is kept.
async fn said(mut response: Response) -> String {
    let mut body = Vec::new();
    while body.len() < ERROR_BODY {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    body.truncate(ERROR_BODY);
    let text = String::from_utf8_lossy(&body);
    let text = text
        .split_once("<Message>")
        .and_then(|(_, rest)| rest.split_once("</Message>"))
        .map_or(&*text, |(message, _)| message);
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default()
        .to_owned()
}

fn status_error(status: StatusCode, host: &str, said: &str) -> Error {
    let kind = match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => ErrorKind::NotFound,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::PermissionDenied,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => ErrorKind::Unavailable,
        status if status.is_server_error() => ErrorKind::Unavailable,
        _ => ErrorKind::InvalidArgument,
    };
    let said = if said.is_empty() {
        String::new()
    } else {
        format!(": {said}")
    };
    Error::new(kind, format!("{host} answered {status}{said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_heed_the_server() {
        let options = TransferOptions::default();
        let waits: Vec<_> = (1..9)
            .map(|number| wait(&options, number, None, 1.0).as_millis())
            .collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000]);
        assert_eq!(wait(&options, 1, None, 0.0), Duration::from_millis(75));
        let asked = Some(Duration::from_secs(3));
        assert_eq!(wait(&options, 1, asked, 0.5), Duration::from_secs(3));
        let absurd = Some(Duration::from_secs(u64::MAX));
        assert_eq!(wait(&options, 1, absurd, 0.5), options.total);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_end_with_the_last_error() {
        let transfers = Transfers::new(TransferOptions::default()).unwrap();
        let mut attempts = transfers.attempts("block 3");
        for number in 1.. {
            let error = Error::new(ErrorKind::Unavailable, format!("failure {number}"));
            let Err(error) = attempts.after(Failed::again(error)).await else {
                continue;
            };
            assert_eq!(
                (number, error.to_string()),
                (8, "block 3: failure 8".to_owned())
            );
            break;
        }
        assert_eq!(transfers.stats().retries, 7);
    }

    #[tokio::test(start_paused = true)]
    async fn time_is_bounded_too() {
        let total = Duration::from_secs(5);
        let options = TransferOptions {
            total,
            attempts: 1000,
            ..TransferOptions::default()
        };
        let transfers = Transfers::new(options).unwrap();
        let mut attempts = transfers.attempts("block 3");
        let began = instant();
        let slow_down = || {
            let error = Error::new(ErrorKind::Unavailable, "slow down");
            Failed::Again(error, Some(Duration::from_secs(2)))
        };
        while attempts.after(slow_down()).await.is_ok() {}
        assert_eq!(began.elapsed(), Duration::from_secs(4));
    }

    #[test]
    fn a_status_names_the_host_and_what_was_said() {
        let error = status_error(
            StatusCode::FORBIDDEN,
            "store.example",
            "Request has expired",
        );
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert_eq!(
            error.to_string(),
            "store.example answered 403 Forbidden: Request has expired"
        );
    }
}
