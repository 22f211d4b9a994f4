//! The arguments of a call, and how inputs and outputs look on the wire: CBOR, inline or as a blob.

use bytes::Bytes;
use moorline_modal_proto::client as pb;
use pb::function_input::ArgsOneof;
use pb::generic_result::DataOneof;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cbor::{self, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::transfer::Source;
use crate::transport::{Client, MAX_MESSAGE};
use crate::wire;

/// Larger inputs and outputs of a call that is waited for go through a blob.
pub(super) const MAX_INLINE: usize = 2 * 1024 * 1024;
/// The same for a call that is only started.
pub(super) const MAX_INLINE_SPAWNED: usize = 8 * 1024;
/// The largest result that is read into memory.
const MAX_RESULT: usize = 8 * MAX_MESSAGE;

/// Positional and keyword arguments of a Python function. Tuples of up to six values stand for positional
/// arguments alone; see [`IntoArgs`].
///
/// ```
/// use moorline_modal_client::functions::Args;
///
/// let args = Args::new().arg("page-1.pdf").kwarg("dpi", 300);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Args {
    positional: Vec<Value>,
    keywords: Vec<(Value, Value)>,
    /// The first value that could not be encoded.
    refused: Option<String>,
}

impl Args {
    /// No arguments.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a positional argument.
    #[must_use]
    pub fn arg(mut self, value: impl Serialize) -> Self {
        match Value::serialized(&value) {
            Ok(value) => self.positional.push(value),
            Err(error) => self.refuse(&format!("argument {}", self.positional.len() + 1), &error),
        }
        self
    }

    /// Adds a keyword argument.
    #[must_use]
    pub fn kwarg(mut self, name: &str, value: impl Serialize) -> Self {
        match Value::serialized(&value) {
            Ok(value) => self.keywords.push((Value::Text(name.to_owned()), value)),
            Err(error) => self.refuse(&format!("argument `{name}`"), &error),
        }
        self
    }

    fn refuse(&mut self, what: &str, error: &ciborium::value::Error) {
        self.refused
            .get_or_insert_with(|| format!("{what} can not be encoded as CBOR: {error}"));
    }

    /// `[[positional…], {keywords…}]` in CBOR, the official clients' form.
    pub(super) fn encode(self) -> Result<Bytes> {
        if let Some(text) = self.refused {
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        cbor::encode(&(Value::Array(self.positional), Value::Map(self.keywords)))
    }
}

/// What can be the arguments of a call: [`Args`], `()`, or a tuple of one to six values.
pub trait IntoArgs {
    /// The arguments.
    fn into_args(self) -> Args;
}

impl IntoArgs for Args {
    fn into_args(self) -> Args {
        self
    }
}

impl IntoArgs for () {
    fn into_args(self) -> Args {
        Args::new()
    }
}

macro_rules! tuples {
    ($($($name:ident)+;)+) => {
        $(
            impl<$($name: Serialize),+> IntoArgs for ($($name,)+) {
                fn into_args(self) -> Args {
                    #[expect(non_snake_case, reason = "the type's name is the variable's")]
                    let ($($name,)+) = self;
                    Args::new()$(.arg($name))+
                }
            }
        )+
    };
}
tuples! { A; A B; A B C; A B C D; A B C D E; A B C D E F; }

/// Makes the input of a call; one larger than `limit` is stored as a blob first.
pub(super) async fn input(
    client: &Client,
    args: Args,
    method: Option<&str>,
    limit: usize,
) -> Result<pb::FunctionInput> {
    let payload = args.encode()?;
    let args_oneof = if payload.len() > limit {
        ArgsOneof::ArgsBlobId(client.blobs().upload(&Source::bytes(payload)).await?)
    } else {
        ArgsOneof::Args(payload)
    };
    Ok(pb::FunctionInput {
        args_oneof: Some(args_oneof),
        data_format: pb::DataFormat::Cbor.into(),
        method_name: method.map(ToOwned::to_owned),
        ..pb::FunctionInput::default()
    })
}

/// The bytes of a result, fetched if they are a blob; the error if it is one.
pub(super) async fn payload(client: &Client, result: pb::GenericResult) -> Result<Bytes> {
    if let Some(error) = wire::failure(&result) {
        return Err(error);
    }
    match result.data_oneof {
        None => Ok(Bytes::new()),
        Some(DataOneof::Data(data)) => Ok(data),
        Some(DataOneof::DataBlobId(id)) => fetch(client, &id).await,
    }
}

/// A blob that holds a result or an item of a generator.
pub(super) async fn fetch(client: &Client, blob_id: &str) -> Result<Bytes> {
    client.blobs().read(blob_id, MAX_RESULT).await
}

/// Reads a result or an item of a generator.
pub(super) fn decode<R: DeserializeOwned>(format: i32, bytes: &[u8]) -> Result<R> {
    match pb::DataFormat::try_from(format).unwrap_or_default() {
        pb::DataFormat::Cbor => cbor::decode(bytes),
        other => {
            let text = format!(
                "the function answered in {}; only CBOR can be read here: deploy it with a client of 1.2 or newer",
                other.as_str_name()
            );
            Err(Error::new(ErrorKind::Protocol, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_a_list_and_a_map() {
        let bytes = Args::new()
            .arg(1)
            .arg("x")
            .kwarg("k", true)
            .encode()
            .unwrap();
        let value: Value = cbor::decode(&bytes).unwrap();
        let expected = Value::Array(vec![
            Value::Array(vec![1.into(), "x".into()]),
            Value::Map(vec![("k".into(), true.into())]),
        ]);
        assert_eq!(value, expected);
    }

    #[test]
    fn a_tuple_is_positional() {
        assert_eq!((1, "x").into_args(), Args::new().arg(1).arg("x"));
        assert_eq!(().into_args(), Args::new());
        assert_eq!((vec![1, 2],).into_args(), Args::new().arg([1, 2]));
    }

    #[test]
    fn what_can_not_be_encoded_is_named() {
        struct Refuses;
        impl Serialize for Refuses {
            fn serialize<S: serde::Serializer>(
                &self,
                _: S,
            ) -> std::result::Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("no"))
            }
        }
        let error = Args::new().arg(1).kwarg("k", Refuses).encode().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("`k`"), "{error}");
    }

    #[test]
    fn a_pickle_is_refused_by_name() {
        let error = decode::<i64>(pb::DataFormat::Pickle.into(), b"x").unwrap_err();
        assert!(error.to_string().contains("PICKLE"), "{error}");
    }
}
