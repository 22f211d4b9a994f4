//! Parameters of a class, checked against its schema.

use std::collections::BTreeMap;

use bytes::Bytes;
use moorline_modal_proto::client as pb;
use pb::class_parameter_spec::DefaultOneof;
use pb::class_parameter_value::ValueOneof;
use prost::Message as _;

use crate::error::{Error, ErrorKind, Result};

/// The value of a class parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Parameter {
    /// `str`.
    Text(String),
    /// `int`.
    Int(i64),
    /// `bool`.
    Bool(bool),
    /// `bytes`.
    Bytes(Bytes),
}

impl From<&str> for Parameter {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Parameter {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<i64> for Parameter {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Parameter {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<Bytes> for Parameter {
    fn from(value: Bytes) -> Self {
        Self::Bytes(value)
    }
}

impl Parameter {
    fn wire(self) -> (pb::ParameterType, ValueOneof) {
        match self {
            Self::Text(value) => (
                pb::ParameterType::ParamTypeString,
                ValueOneof::StringValue(value),
            ),
            Self::Int(value) => (pb::ParameterType::ParamTypeInt, ValueOneof::IntValue(value)),
            Self::Bool(value) => (
                pb::ParameterType::ParamTypeBool,
                ValueOneof::BoolValue(value),
            ),
            Self::Bytes(value) => (
                pb::ParameterType::ParamTypeBytes,
                ValueOneof::BytesValue(value),
            ),
        }
    }
}

/// The parameters as the server keeps them: in the order of their names, so that equal parameters are one
/// pool of containers.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] for a missing, unknown or wrongly typed parameter.
pub(super) fn encode(
    schema: &[pb::ClassParameterSpec],
    mut values: BTreeMap<String, Parameter>,
) -> Result<Bytes> {
    let bad = |text: String| Error::new(ErrorKind::InvalidArgument, text);
    let mut parameters = Vec::with_capacity(schema.len());
    for spec in schema {
        let (kind, value) = match values.remove(&spec.name) {
            Some(value) => value.wire(),
            None => default_of(spec)
                .ok_or_else(|| bad(format!("parameter `{}` of the class: missing", spec.name)))?
                .wire(),
        };
        if kind != spec.r#type() {
            let (want, got) = (spec.r#type().as_str_name(), kind.as_str_name());
            return Err(bad(format!(
                "parameter `{}` of the class: {want}, not {got}",
                spec.name
            )));
        }
        let (name, value_oneof) = (spec.name.clone(), Some(value));
        parameters.push(pb::ClassParameterValue {
            name,
            r#type: kind.into(),
            value_oneof,
        });
    }
    if let Some(name) = values.into_keys().next() {
        return Err(bad(format!(
            "parameter `{name}` of the class: it has none of that name"
        )));
    }
    parameters.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(pb::ClassParameterSet { parameters }.encode_to_vec().into())
}

fn default_of(spec: &pb::ClassParameterSpec) -> Option<Parameter> {
    if !spec.has_default {
        return None;
    }
    Some(match spec.default_oneof.clone()? {
        DefaultOneof::StringDefault(value) => Parameter::Text(value),
        DefaultOneof::IntDefault(value) => Parameter::Int(value),
        DefaultOneof::BoolDefault(value) => Parameter::Bool(value),
        DefaultOneof::BytesDefault(value) => Parameter::Bytes(value),
        DefaultOneof::PickleDefault(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Vec<pb::ClassParameterSpec> {
        let text = pb::ClassParameterSpec {
            name: "name".into(),
            r#type: pb::ParameterType::ParamTypeString.into(),
            ..Default::default()
        };
        let number = pb::ClassParameterSpec {
            name: "depth".into(),
            r#type: pb::ParameterType::ParamTypeInt.into(),
            has_default: true,
            default_oneof: Some(DefaultOneof::IntDefault(3)),
            ..Default::default()
        };
        vec![text, number]
    }

    fn encoded(values: &[(&str, Parameter)]) -> Result<Vec<(String, Option<ValueOneof>)>> {
        let values = values
            .iter()
            .cloned()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let set = pb::ClassParameterSet::decode(encode(&schema(), values)?).unwrap();
        Ok(set
            .parameters
            .into_iter()
            .map(|value| (value.name, value.value_oneof))
            .collect())
    }

    #[test]
    fn they_are_sorted_and_defaults_fill_in() {
        assert_eq!(
            encoded(&[("name", "x".into())]).unwrap(),
            [
                ("depth".to_owned(), Some(ValueOneof::IntValue(3))),
                ("name".to_owned(), Some(ValueOneof::StringValue("x".into())))
            ]
        );
    }

    #[test]
    fn missing_unknown_and_mistyped_are_told_by_name() {
        let error = |values: &[(&str, Parameter)]| encoded(values).unwrap_err().to_string();
        assert!(error(&[]).contains("`name`"));
        assert!(error(&[("name", 1.into())]).contains("`name`"));
        assert!(error(&[("name", "x".into()), ("other", true.into())]).contains("`other`"));
    }
}
