//! Frames: four bytes of length (little endian), then JSON. Descriptors travel beside the bytes, in the
//! order of the frames that speak of them.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A longer frame is not one of ours.
const LONGEST: usize = 64 << 20;

/// One value as a frame.
///
/// # Errors
/// When it is longer than a frame can be.
pub fn encode<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, value)?;
    let length = u32::try_from(bytes.len() - 4).map_err(io::Error::other)?;
    if let Some(head) = bytes.first_chunk_mut() {
        *head = length.to_le_bytes();
    }
    Ok(bytes)
}

/// Bytes that have arrived, not yet all taken as frames.
///
/// ```
/// use moorline_sandbox_tools::frame::{Decoder, encode};
///
/// let mut decoder = Decoder::default();
/// let bytes = encode(&"hello")?;
/// decoder.push(&bytes[..3]);
/// assert_eq!(decoder.take::<String>()?, None);
/// decoder.push(&bytes[3..]);
/// assert_eq!(decoder.take::<String>()?.as_deref(), Some("hello"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    received: Vec<u8>,
}

impl Decoder {
    /// Adds what has arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    /// Takes the next frame, if all of it is there.
    ///
    /// # Errors
    /// When it is not a frame, or not a `T`.
    pub fn take<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some((head, rest)) = self.received.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*head) as usize;
        if length > LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let value = serde_json::from_slice(body)?;
        self.received.drain(..4 + length);
        Ok(Some(value))
    }
}
