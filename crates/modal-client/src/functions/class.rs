//! Classes: one service function for all methods, bound to parameters.

use std::collections::BTreeMap;

use moorline_modal_proto::client as pb;

use super::{Function, Methods, Parameter, params};
use crate::error::{Error, ErrorKind, Result};
use crate::rpc::control_plane;
use crate::transport::Client;
use crate::wire;

control_plane! {
    BIND = FunctionBindParams(FunctionBindParamsRequest) -> FunctionBindParamsResponse, Keyed;
}

/// A deployed class.
#[derive(Clone, Debug)]
pub struct Class {
    client: Client,
    /// The service function, `fu-…`.
    id: String,
    environment: String,
    schema: Vec<pb::ClassParameterSpec>,
    methods: Methods,
}

impl Class {
    pub(super) fn new(
        client: Client,
        id: String,
        metadata: pb::FunctionHandleMetadata,
        environment: String,
    ) -> Self {
        let schema = metadata
            .class_parameter_info
            .map(|info| info.schema)
            .unwrap_or_default();
        let methods = metadata.method_handle_metadata.into_iter().collect();
        Self {
            client,
            id,
            environment,
            schema,
            methods,
        }
    }

    /// The names of its methods.
    pub fn methods(&self) -> impl Iterator<Item = &str> {
        self.methods.keys().map(String::as_str)
    }

    /// The names of its parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.schema.iter().map(|spec| spec.name.as_str())
    }

    /// An instance with these parameters: each set of parameters has containers of its own.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a missing, unknown or wrongly typed parameter.
    pub async fn instance<N, P>(&self, values: impl IntoIterator<Item = (N, P)>) -> Result<Instance>
    where
        N: Into<String>,
        P: Into<Parameter>,
    {
        let values: BTreeMap<String, Parameter> = values
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let serialized_params = params::encode(&self.schema, values)?;
        // Without parameters there is nothing to bind: the class itself is the instance.
        if self.schema.is_empty() {
            let (client, id) = (self.client.clone(), self.id.clone());
            return Ok(Instance {
                client,
                id,
                methods: self.methods.clone(),
            });
        }
        let request = pb::FunctionBindParamsRequest {
            function_id: self.id.clone(),
            serialized_params,
            environment_name: self.environment.clone(),
            ..pb::FunctionBindParamsRequest::default()
        };
        let reply = self.client.unary(BIND, request).await?;
        let id = wire::required(reply.bound_function_id, "bound function id")?;
        let bound: Methods = reply
            .handle_metadata
            .map(|metadata| metadata.method_handle_metadata.into_iter().collect())
            .unwrap_or_default();
        let methods = if bound.is_empty() {
            self.methods.clone()
        } else {
            bound
        };
        Ok(Instance {
            client: self.client.clone(),
            id,
            methods,
        })
    }
}

/// A class with its parameters.
#[derive(Clone, Debug)]
pub struct Instance {
    client: Client,
    id: String,
    methods: Methods,
}

impl Instance {
    /// The service function of this instance, `fu-…`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A method, which is called like a function.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the class has none of that name.
    pub fn method(&self, name: &str) -> Result<Function> {
        let metadata = self.methods.get(name).cloned().ok_or_else(|| {
            let known: Vec<_> = self.methods.keys().map(String::as_str).collect();
            let text = format!(
                "the class has no method `{name}`; it has: {}",
                known.join(", ")
            );
            Error::new(ErrorKind::NotFound, text)
        })?;
        Ok(Function::new(
            self.client.clone(),
            self.id.clone(),
            metadata,
            Some(name.to_owned()),
        ))
    }
}
