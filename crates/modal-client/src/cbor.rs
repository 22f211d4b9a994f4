//! CBOR (RFC 8949), the payloads of functions, dicts and queues that other languages can read.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result};

/// Any CBOR value.
pub type Value = ciborium::Value;

/// Encodes a value.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] for what CBOR can not hold.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).map_err(|error| {
        Error::new(
            ErrorKind::InvalidArgument,
            "the value can not be encoded as CBOR",
        )
        .with_source(error)
    })?;
    Ok(bytes.into())
}

/// Decodes a value; bytes behind it are an error.
///
/// # Errors
/// [`ErrorKind::Protocol`] if it is not CBOR or of another shape.
pub fn decode<T: DeserializeOwned>(mut bytes: &[u8]) -> Result<T> {
    let value = ciborium::from_reader(&mut bytes).map_err(|error| {
        Error::new(
            ErrorKind::Protocol,
            "the payload is not CBOR of the expected type",
        )
        .with_source(error)
    })?;
    if !bytes.is_empty() {
        let text = format!("{} bytes follow the CBOR value", bytes.len());
        return Err(Error::new(ErrorKind::Protocol, text));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn another_shape_or_more_bytes_are_told() {
        let bytes = encode(&("x", 1)).unwrap();
        assert!(decode::<(String, i64)>(&bytes).is_ok());
        assert_eq!(
            decode::<i64>(&bytes).unwrap_err().kind(),
            ErrorKind::Protocol
        );
        let longer = [&bytes[..], b"\0"].concat();
        assert!(
            decode::<(String, i64)>(&longer)
                .unwrap_err()
                .to_string()
                .contains("1 bytes")
        );
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(text in ".*", numbers in prop::collection::vec(any::<i64>(), 0..20)) {
            let value = (text, numbers);
            prop_assert_eq!(decode::<(String, Vec<i64>)>(&encode(&value).unwrap()).unwrap(), value);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(decode::<Value>(&bytes));
        }
    }
}
