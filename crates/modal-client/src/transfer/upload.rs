//! One PUT or POST.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, ETAG};
use reqwest::{Body, Response};

use super::Transfers;
use super::digest::{hex, md5_of_etag};
use super::retry::{Failed, successful, unsent};
use super::source::{Source, md5_of};
use super::stats::Counters;
use crate::{Error, ErrorKind, Result};

/// The longest answer to an upload that is kept.
const ANSWER: usize = 1024 * 1024;

/// The slowest upload that is not given up, in bytes a second.
const SLOWEST: u64 = 64 * 1024;

/// A part of a source, and where it goes.
#[derive(Debug)]
pub(crate) struct Put<'a> {
    /// For errors: `block 3 of ...`.
    pub(crate) what: String,
    pub(crate) url: &'a str,
    pub(crate) source: &'a Source,
    pub(crate) range: Range<u64>,
    /// Base64; the server refuses other content.
    pub(crate) content_md5: Option<&'a str>,
    pub(crate) content_type: Option<&'static str>,
    /// Whether the answer must carry the MD5 of the body as its entity tag.
    pub(crate) expect_etag: bool,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) body: Bytes,
    /// Of the bytes that were sent, when an entity tag was expected.
    pub(crate) md5: Option<[u8; 16]>,
}

impl Transfers {
    /// Sends a part, again if need be.
    pub(crate) async fn put(&self, put: &Put<'_>) -> Result<Stored> {
        let mut attempts = self.attempts(&put.what);
        loop {
            match self.put_once(put).await {
                Ok(stored) => return Ok(stored),
                Err(failed) => attempts.after(failed).await?,
            }
        }
    }

    /// Sends a short document that completes an upload, and returns the answer.
    pub(crate) async fn post(&self, what: &str, url: &str, body: String) -> Result<Bytes> {
        let mut attempts = self.attempts(what);
        loop {
            match self.post_once(url, body.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => attempts.after(failed).await?,
            }
        }
    }

    async fn post_once(&self, url: &str, body: String) -> Result<Bytes, Failed> {
        Counters::add(&self.counters.requests, 1);
        Counters::add(&self.counters.bytes_sent, body.len());
        let request = self.http.post(url).body(body);
        let response = self.moving(request.send()).await?.map_err(unsent)?;
        let response = successful(response, &self.options).await?;
        self.answer(response).await
    }

    async fn put_once(&self, put: &Put<'_>) -> Result<Stored, Failed> {
        let hash = put
            .expect_etag
            .then(|| Arc::new(Mutex::new(md5::Md5::default())));
        let length = put.range.end - put.range.start;
        let body = put
            .source
            .body(put.range.clone(), hash.clone(), Arc::clone(&self.counters))
            .await?;
        let mut request = self.http.put(put.url).body(Body::wrap(body));
        if let Some(content_type) = put.content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        if let Some(md5) = put.content_md5 {
            request = request.header("Content-MD5", md5);
        }
        Counters::add(&self.counters.requests, 1);
        let patience = self.options.stall + std::time::Duration::from_secs(length / SLOWEST);
        let response = tokio::time::timeout(patience, request.send())
            .await
            .map_err(|_| {
                let message = format!(
                    "{length} bytes were not sent within {} s",
                    patience.as_secs()
                );
                Failed::again(Error::new(ErrorKind::Timeout, message))
            })?;
        let response = successful(response.map_err(unsent)?, &self.options).await?;
        let md5 = match &hash {
            Some(hash) => Some(agreed(md5_of(hash), &response)?),
            None => None,
        };
        Ok(Stored {
            body: self.answer(response).await?,
            md5,
        })
    }

    async fn answer(&self, mut response: Response) -> Result<Bytes, Failed> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.moving(response.chunk()).await?.map_err(unsent)? {
            Counters::add(&self.counters.bytes_received, chunk.len());
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER {
                let message = format!("the answer to an upload is longer than {ANSWER} bytes");
                return Err(Error::new(ErrorKind::Protocol, message).into());
            }
        }
        Ok(body.freeze())
    }
}

/// Compares what was sent with what the server says it has.
fn agreed(sent: [u8; 16], response: &Response) -> Result<[u8; 16], Failed> {
    let tag = response
        .headers()
        .get(ETAG)
        .and_then(|tag| tag.to_str().ok())
        .unwrap_or_default();
    match md5_of_etag(tag) {
        Some(stored) if stored == hex(&sent) => Ok(sent),
        Some(stored) => {
            let message = format!(
                "the server stored content with MD5 {stored}, not {}",
                hex(&sent)
            );
            Err(Failed::again(Error::new(ErrorKind::Protocol, message)))
        }
        None => {
            let message = "the server's answer has no entity tag to check the upload by";
            Err(Failed::For(Error::new(ErrorKind::Protocol, message)))
        }
    }
}
