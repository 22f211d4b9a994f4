//! A response body that breaks on purpose.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// How it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Break {
    /// Nothing more comes, and the stream stays open.
    Stall,
    /// The HTTP/2 stream is reset.
    Reset,
}

/// Lets `after` frames of data pass, then breaks.
pub(super) fn broken(inner: Body, after: u64, how: Break) -> Body {
    Body::new(Broken {
        inner,
        left: after,
        how,
    })
}

#[derive(Debug)]
struct Broken {
    inner: Body,
    left: u64,
    how: Break,
}

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.left == 0 {
            return match self.how {
                Break::Stall => Poll::Pending,
                Break::Reset => Poll::Ready(Some(Err(Status::internal("a fault of the plan")))),
            };
        }
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && frame.is_data()
        {
            self.left -= 1;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
