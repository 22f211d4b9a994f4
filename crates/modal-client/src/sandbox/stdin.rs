//! Standard input of a sandbox or a command.

use bytes::Bytes;
use moorline_modal_proto::client::SandboxStdinWriteRequest;

use super::{Sandbox, rpc};
use crate::router::{CommandRouter, Feed, write_all};
use crate::transfer::Source;
use crate::{Error, ErrorKind, Result};

/// The largest piece of input per message of the first API.
const PIECE: usize = 256 * 1024;

/// The standard input of a sandbox or a command.
///
/// Pieces are numbered by their offset, so a repeated attempt applies nothing twice. A write that is
/// cancelled is made up for by the next [`write`](Self::write) or [`close`](Self::close).
#[derive(Debug)]
pub struct Stdin {
    target: Target,
}

#[derive(Debug)]
enum Target {
    Router {
        router: CommandRouter,
        exec_id: Option<String>,
        feed: Feed,
    },
    /// The first API counts pieces, not bytes.
    V1 {
        sandbox: Sandbox,
        index: u32,
        written: u64,
        pending: Vec<Bytes>,
        closed: bool,
    },
}

impl Stdin {
    pub(super) fn new(router: CommandRouter, exec_id: Option<String>, offset: u64) -> Self {
        let feed = Feed::new(router.clone(), exec_id.clone(), offset);
        Self {
            target: Target::Router {
                router,
                exec_id,
                feed,
            },
        }
    }

    pub(super) fn of_v1(sandbox: Sandbox) -> Self {
        let pending = Vec::new();
        Self {
            target: Target::V1 {
                sandbox,
                index: 1,
                written: 0,
                pending,
                closed: false,
            },
        }
    }

    /// Writes all of `data`; it has arrived when this returns.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if the process has ended or the input is closed.
    pub async fn write(&mut self, data: impl Into<Bytes>) -> Result<()> {
        let mut data = data.into();
        match &mut self.target {
            Target::Router { feed, .. } => feed.write(data).await,
            Target::V1 { closed: true, .. } => Err(Error::new(
                ErrorKind::Conflict,
                "standard input is closed already",
            )),
            Target::V1 { pending, .. } => {
                while !data.is_empty() {
                    pending.push(data.split_to(data.len().min(PIECE)));
                }
                self.flush_v1(false).await
            }
        }
    }

    /// Says that no more comes. Closing what is closed is no error.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if the process has ended.
    pub async fn close(&mut self) -> Result<()> {
        match &mut self.target {
            Target::Router { feed, .. } => feed.close().await,
            Target::V1 { closed: true, .. } => Ok(()),
            Target::V1 { .. } => self.flush_v1(true).await,
        }
    }

    /// How many bytes have arrived.
    pub fn written(&self) -> u64 {
        match &self.target {
            Target::Router { feed, .. } => feed.offset(),
            Target::V1 { written, .. } => *written,
        }
    }

    /// Writes a whole file or buffer and closes the input; for a command whose input nobody wrote to yet, it
    /// is one stream that goes on where it breaks off.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the source can not be read; as [`write`](Self::write).
    pub async fn write_all(mut self, source: &Source) -> Result<()> {
        match &self.target {
            Target::Router {
                router,
                exec_id: Some(exec_id),
                feed,
            } if feed.offset() == 0 => write_all(router, exec_id, source).await,
            _ => {
                let content = source.read().await?;
                self.write(content).await?;
                self.close().await
            }
        }
    }

    async fn flush_v1(&mut self, eof: bool) -> Result<()> {
        let Target::V1 {
            sandbox,
            index,
            written,
            pending,
            closed,
        } = &mut self.target
        else {
            return Ok(());
        };
        let request = |input: Bytes, index: u32, eof| SandboxStdinWriteRequest {
            sandbox_id: sandbox.id().to_owned(),
            input,
            index,
            eof,
        };
        while let Some(piece) = pending.first().cloned() {
            let length = piece.len() as u64;
            sandbox
                .client()
                .unary(rpc::STDIN_WRITE, request(piece, *index, false))
                .await?;
            pending.remove(0);
            *index += 1;
            *written += length;
        }
        if eof {
            sandbox
                .client()
                .unary(rpc::STDIN_WRITE, request(Bytes::new(), *index, true))
                .await?;
            *closed = true;
        }
        Ok(())
    }
}
