//! Messages of the wire inside state that is kept as JSON: their bytes in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A message that can be kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Stored<M>(pub(crate) M);

impl<M: Message> Serialize for Stored<M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.0.encode_to_vec()))
    }
}

impl<'de, M: Message + Default> Deserialize<'de> for Stored<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
        M::decode(bytes.as_slice())
            .map(Self)
            .map_err(D::Error::custom)
    }
}

/// Plain bytes, in the same way: for `#[serde(with = …)]`.
pub(super) mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(in crate::services::functions) fn serialize<S: Serializer>(
        bytes: &Bytes,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(in crate::services::functions) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Bytes, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD
            .decode(text)
            .map(Bytes::from)
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use moorline_modal_proto::client::FunctionRetryPolicy;

    use super::*;

    #[test]
    fn a_message_survives_being_kept() {
        let policy = FunctionRetryPolicy {
            retries: 3,
            ..FunctionRetryPolicy::default()
        };
        let text = serde_json::to_string(&Stored(policy)).unwrap();
        let back: Stored<FunctionRetryPolicy> = serde_json::from_str(&text).unwrap();
        assert_eq!(back.0, policy);
        assert!(serde_json::from_str::<Stored<FunctionRetryPolicy>>("\"%\"").is_err());
    }
}
