//! Messages on the wire: encoded from a shared request, so that a repeated attempt clones nothing.

use std::marker::PhantomData;
use std::sync::Arc;

use prost::Message;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Status};

/// Room for gRPC's own frame header in front of the message.
const FRAME_HEADER: usize = 5;
/// What is buffered before it is handed to the connection.
const YIELD_AT: usize = 32 * 1024;
/// What is read at once.
const READ_BUFFER: usize = 8 * 1024;
/// No larger buffer is reserved before the message is there.
const MAX_RESERVE: usize = 1024 * 1024;

/// Encodes `Arc<Req>`, decodes `Res`.
pub(crate) struct SharedCodec<Req, Res> {
    /// The request's encoded length: its buffer is allocated once and in its size.
    len: usize,
    types: PhantomData<fn(Req) -> Res>,
}

impl<Req, Res> SharedCodec<Req, Res> {
    pub(crate) fn new(len: usize) -> Self {
        Self {
            len,
            types: PhantomData,
        }
    }
}

impl<Req, Res> Codec for SharedCodec<Req, Res>
where
    Req: Message + 'static,
    Res: Message + Default + 'static,
{
    type Encode = Arc<Req>;
    type Decode = Res;
    type Encoder = SharedEncoder<Req>;
    type Decoder = ProstDecoder<Res>;

    fn encoder(&mut self) -> Self::Encoder {
        SharedEncoder {
            len: self.len,
            types: PhantomData,
        }
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder(PhantomData)
    }
}

pub(crate) struct SharedEncoder<Req> {
    len: usize,
    types: PhantomData<fn(Req)>,
}

impl<Req: Message> Encoder for SharedEncoder<Req> {
    type Item = Arc<Req>;
    type Error = Status;

    fn encode(&mut self, item: Arc<Req>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer)
            .map_err(|error| Status::new(Code::Internal, error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new((self.len + FRAME_HEADER).min(MAX_RESERVE), YIELD_AT)
    }
}

pub(crate) struct ProstDecoder<Res>(PhantomData<fn() -> Res>);

impl<Res: Message + Default> Decoder for ProstDecoder<Res> {
    type Item = Res;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Res>, Status> {
        // DATA_LOSS and not INTERNAL: the same bytes would come again, so it is not worth a retry.
        Res::decode(buffer)
            .map(Some)
            .map_err(|error| Status::new(Code::DataLoss, error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(READ_BUFFER, YIELD_AT)
    }
}
