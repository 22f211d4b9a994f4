//! Generators: items come by a stream beside the call, which ends with their number.

use std::collections::VecDeque;
use std::time::Duration;

use async_stream::try_stream;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use moorline_modal_proto::client as pb;
use pb::data_chunk::DataOneof;
use pb::function_call_get_data_request::CallInfo;
use prost::Message as _;
use serde::de::DeserializeOwned;

use super::Function;
use super::args::{Args, decode, fetch};
use super::call::Invocation;
use crate::error::{Error, ErrorKind, Result};
use crate::rpc::{CallOptions, control_plane};
use crate::stream::{Flow, OnClose, Resume, StreamOptions, resume};
use crate::transport::Client;

control_plane! {
    DATA_OUT = FunctionCallGetDataOut(FunctionCallGetDataRequest) -> DataChunk, Read;
}

/// How long the server holds one stream of items open.
const HOLD: Duration = Duration::from_mins(1);

/// Starts the call and gives its items.
pub(super) fn items<R>(function: Function, args: Args) -> impl Stream<Item = Result<R>> + Send
where
    R: DeserializeOwned + Send,
{
    try_stream! {
        function.check(true)?;
        let kind = pb::FunctionCallInvocationType::Sync;
        let invocation = Invocation::start(&function, args, kind).await?;
        let client = function.client.clone();
        let source = Chunks { client: client.clone(), id: invocation.call().id().to_owned(), last: 0 };
        let options = StreamOptions::new(DATA_OUT.name(), OnClose::Reopen, HOLD);
        // In boxes: together they would make a future of 16 KiB.
        let mut chunks = Box::pin(resume(source, options));
        let mut outcome = Box::pin(invocation.finish());
        // How many items there are, once the call has ended.
        let mut total: Option<u64> = None;
        let mut received = 0;
        while total.is_none_or(|total| received < total) {
            // Items first: when the call fails, those that came before the failure are still given.
            let event = tokio::select! {
                biased;
                chunk = chunks.next() => Event::Chunk(chunk),
                done = &mut outcome, if total.is_none() => Event::Done(done),
            };
            match event {
                Event::Chunk(chunk) => {
                    let chunk = chunk.ok_or_else(|| broken("the stream of items ended too early"))??;
                    let bytes = match chunk.data_oneof {
                        None => Bytes::new(),
                        Some(DataOneof::Data(data)) => data,
                        Some(DataOneof::DataBlobId(id)) => fetch(&client, &id).await?,
                    };
                    received += 1;
                    let item: R = decode(chunk.data_format, &bytes)?;
                    yield item;
                }
                Event::Done(done) => total = Some(count(done?)?),
            }
        }
    }
}

/// What happens next to a generator.
enum Event {
    Chunk(Option<Result<pb::DataChunk>>),
    Done(Result<(i32, Bytes)>),
}

/// The number of items that a final output tells.
fn count((format, bytes): (i32, Bytes)) -> Result<u64> {
    if pb::DataFormat::try_from(format) != Ok(pb::DataFormat::GeneratorDone) {
        return Err(broken(
            "the generator ended without the number of its items",
        ));
    }
    let done = pb::GeneratorDone::decode(bytes)
        .map_err(|error| broken("the number of items can not be read").with_source(error))?;
    Ok(done.items_total)
}

fn broken(text: &str) -> Error {
    Error::new(ErrorKind::Protocol, text).with_rpc(DATA_OUT.name())
}

struct Chunks {
    client: Client,
    id: String,
    /// The index of the last item that was handed out; they count from 1.
    last: u64,
}

impl Resume for Chunks {
    type Message = pb::DataChunk;
    type Item = pb::DataChunk;

    async fn open(&mut self) -> Result<tonic::Streaming<Self::Message>> {
        let request = pb::FunctionCallGetDataRequest {
            call_info: Some(CallInfo::FunctionCallId(self.id.clone())),
            last_index: self.last,
        };
        self.client
            .server_stream(DATA_OUT, request, &CallOptions::new().max_retries(0))
            .await
    }

    fn accept(
        &mut self,
        chunk: pb::DataChunk,
        items: &mut VecDeque<pb::DataChunk>,
    ) -> Result<Flow> {
        // Also what a retried attempt yields again is dropped here.
        if chunk.index > self.last {
            if chunk.index > self.last + 1 {
                return Err(broken("an item is missing in the stream"));
            }
            self.last = chunk.index;
            items.push_back(chunk);
        }
        Ok(Flow::More)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_once_and_a_gap_is_an_error() {
        let config = crate::Config::new("http://127.0.0.1:1", "ak", "as").unwrap();
        let mut chunks = Chunks {
            client: Client::new(config).unwrap(),
            id: "fc-1".into(),
            last: 0,
        };
        let chunk = |index| pb::DataChunk {
            index,
            ..pb::DataChunk::default()
        };
        let mut items = VecDeque::new();
        for index in [1, 2, 1, 2, 3] {
            chunks.accept(chunk(index), &mut items).unwrap();
        }
        assert_eq!(
            items.iter().map(|chunk| chunk.index).collect::<Vec<_>>(),
            [1, 2, 3]
        );
        assert_eq!(
            chunks.accept(chunk(5), &mut items).unwrap_err().kind(),
            ErrorKind::Protocol
        );
    }

    #[test]
    fn the_end_tells_the_number_of_items() {
        let bytes = pb::GeneratorDone { items_total: 3 }.encode_to_vec().into();
        assert_eq!(
            count((pb::DataFormat::GeneratorDone.into(), bytes)).unwrap(),
            3
        );
        assert!(count((pb::DataFormat::Cbor.into(), Bytes::new())).is_err());
    }
}
