//! Streams that go on where they broke off.
//!
//! A source knows how to open its stream behind what it has already handed out, and which message is the
//! server's end marker. [`resume`] keeps it open: after a transient failure, a stall or (where the
//! protocol says so) a clean close it is opened again, without a gap and without a repeat. The stream is
//! cancel-safe: dropping a pending `next()` loses nothing, dropping the stream closes the call.

use std::collections::VecDeque;
use std::time::Duration;

use async_stream::stream;
use futures::Stream;
use tonic::Streaming;

use crate::error::{Error, ErrorKind, Result};
use crate::transport::retry::{RetryPolicy, is_transient};

/// A stream that can be opened again.
pub(crate) trait Resume: Send {
    /// What the server sends.
    type Message: Send + 'static;
    /// What the caller gets.
    type Item: Send;

    /// Opens it behind what was accepted so far, with one attempt (`CallOptions::max_retries(0)`): the
    /// waits between attempts are [`resume`]'s.
    fn open(&mut self) -> impl Future<Output = Result<Streaming<Self::Message>>> + Send;

    /// Takes a message: puts what the caller gets into `items`, remembers the position.
    ///
    /// # Errors
    /// What ends the stream for good.
    fn accept(&mut self, message: Self::Message, items: &mut VecDeque<Self::Item>) -> Result<Flow>;

    /// Whether everything that matters has come, so that a close or a failure is the end. For streams
    /// whose result is followed by messages that may be missed.
    fn is_complete(&self) -> bool {
        false
    }
}

/// Whether a message was the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// More is to come.
    More,
    /// The server's end marker.
    Done,
}

/// What a clean close without an end marker means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnClose {
    /// The server's hold is over: open it again.
    Reopen,
    /// The end.
    Done,
}

/// How a stream is kept open.
#[derive(Clone, Debug)]
pub(crate) struct StreamOptions {
    /// The RPC, for errors.
    pub(crate) rpc: &'static str,
    /// What a clean close means.
    pub(crate) on_close: OnClose,
    /// Without a message for this long the stream is taken for stalled and opened again. Must be above
    /// the hold that the request asks for.
    pub(crate) idle: Duration,
    /// Failures in a row, without a message between them, before the stream fails.
    pub(crate) max_failures: u32,
    /// The waits between them.
    pub(crate) backoff: RetryPolicy,
}

impl StreamOptions {
    /// Ten failures in a row over about 12 s; a stall is taken after `hold` and 20 s more.
    pub(crate) fn new(rpc: &'static str, on_close: OnClose, hold: Duration) -> Self {
        let backoff = RetryPolicy {
            max_delay: Duration::from_secs(2),
            ..RetryPolicy::default()
        };
        Self {
            rpc,
            on_close,
            idle: hold + Duration::from_secs(20),
            max_failures: 10,
            backoff,
        }
    }
}

/// What happened to an open stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// A message came.
    Message,
    /// Closed cleanly, without an end marker.
    Closed,
    /// Failed in a way that may pass.
    Failed,
}

/// Counts what went wrong in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pace {
    failures: u32,
    empty_closes: u32,
}

impl Pace {
    /// The wait before the stream is opened again; `None` when it is given up.
    fn next(&mut self, event: Event, options: &StreamOptions, jitter: f64) -> Option<Duration> {
        match event {
            Event::Message => {
                *self = Self::default();
                Some(Duration::ZERO)
            }
            Event::Closed => {
                // The server answered, so this is no failure; but one that closes at once, again and
                // again, is not asked in a busy loop.
                let wait = match self.empty_closes {
                    0 => Duration::ZERO,
                    n => options.backoff.backoff(n - 1, jitter),
                };
                self.failures = 0;
                self.empty_closes = self.empty_closes.saturating_add(1);
                Some(wait)
            }
            Event::Failed => {
                self.failures += 1;
                (self.failures <= options.max_failures)
                    .then(|| options.backoff.backoff(self.failures - 1, jitter))
            }
        }
    }
}

/// Whether the stream may be opened again after this.
fn may_pass(error: &Error) -> bool {
    match error.code() {
        Some(code) => is_transient(code),
        None => matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable),
    }
}

/// The items of a source until the server's end marker, or an error that does not pass.
pub(crate) fn resume<R: Resume>(
    mut source: R,
    options: StreamOptions,
) -> impl Stream<Item = Result<R::Item>> + Send {
    stream! {
        let mut items = VecDeque::new();
        let mut pace = Pace::default();
        loop {
            let failed = match source.open().await {
                Err(error) => Some(error),
                Ok(mut messages) => loop {
                    match tokio::time::timeout(options.idle, messages.message()).await {
                        Ok(Ok(Some(message))) => {
                            pace.next(Event::Message, &options, 0.0);
                            let flow = source.accept(message, &mut items);
                            for item in items.drain(..) {
                                yield Ok(item);
                            }
                            match flow {
                                Ok(Flow::More) => {}
                                Ok(Flow::Done) => return,
                                Err(error) => {
                                    yield Err(error);
                                    return;
                                }
                            }
                        }
                        Ok(Ok(None)) => break None,
                        Ok(Err(status)) => break Some(Error::from_status(options.rpc, status)),
                        Err(_) => {
                            let text = format!("nothing came for {} s", options.idle.as_secs());
                            break Some(Error::new(ErrorKind::Timeout, text).with_rpc(options.rpc));
                        }
                    }
                },
            };
            if source.is_complete() {
                return;
            }
            let event = match &failed {
                None if options.on_close == OnClose::Done => return,
                None => Event::Closed,
                Some(_) => Event::Failed,
            };
            let wait = match &failed {
                Some(error) if !may_pass(error) => None,
                _ => pace.next(event, &options, rand::random()),
            };
            match (wait, failed) {
                (Some(wait), _) => tokio::time::sleep(wait).await,
                (None, Some(error)) => {
                    yield Err(error);
                    return;
                }
                (None, None) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tonic::Status;

    fn options() -> StreamOptions {
        StreamOptions::new("AppGetLogs", OnClose::Reopen, Duration::from_secs(55))
    }

    #[test]
    fn it_is_given_up_after_failures_in_a_row_and_not_before() {
        let options = options();
        let mut pace = Pace::default();
        for _ in 0..options.max_failures {
            assert!(pace.next(Event::Failed, &options, 0.5).is_some());
        }
        assert_eq!(pace.next(Event::Failed, &options, 0.5), None);
        let mut pace = Pace::default();
        for _ in 0..100 {
            assert!(pace.next(Event::Failed, &options, 0.5).is_some());
            pace.next(Event::Message, &options, 0.5);
        }
    }

    #[test]
    fn a_hold_that_ends_is_renewed_at_once_and_an_empty_one_never_in_a_busy_loop() {
        let options = options();
        let mut pace = Pace::default();
        assert_eq!(
            pace.next(Event::Closed, &options, 0.0),
            Some(Duration::ZERO)
        );
        for _ in 0..20 {
            let wait = pace.next(Event::Closed, &options, 0.0).unwrap();
            assert!(wait >= Duration::from_millis(50), "{wait:?}");
        }
        pace.next(Event::Message, &options, 0.0);
        assert_eq!(
            pace.next(Event::Closed, &options, 0.0),
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let passes = |status| may_pass(&Error::from_status("AppGetLogs", status));
        assert!(passes(Status::unavailable("")) && passes(Status::internal("")));
        assert!(!passes(Status::not_found("")) && !passes(Status::data_loss("")));
        assert!(may_pass(&Error::new(ErrorKind::Timeout, "")));
        assert!(!may_pass(&Error::new(ErrorKind::Protocol, "")));
    }

    proptest! {
        #[test]
        fn the_waits_stay_within_their_bounds(
            events in prop::collection::vec((0..3u8, 0.0..1.0f64), 0..80)
        ) {
            let options = options();
            let mut pace = Pace::default();
            for (event, jitter) in events {
                let event = [Event::Message, Event::Closed, Event::Failed][usize::from(event)];
                let Some(wait) = pace.next(event, &options, jitter) else {
                    prop_assert!(pace.failures > options.max_failures);
                    break;
                };
                prop_assert!(wait <= options.backoff.max_delay);
            }
        }
    }
}
