//! Secrets: named sets of environment variables that Modal keeps and gives to containers.
//!
//! Values go in and never come back: the server tells names of keys only. Here they are [`SecretString`]s,
//! which are wiped when dropped and not shown by `Debug`; while a call is under way the transport holds
//! them as plain bytes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use moorline_modal_proto::client as pb;
use secrecy::{ExposeSecret as _, SecretString};

use crate::error::{Error, ErrorKind, Result};
use crate::rpc::control_plane;
use crate::transport::Client;
use crate::wire::{self, Existence, some, time};

control_plane! {
    DELETE = SecretDelete(SecretDeleteRequest) -> Empty, Keyed;
    GET_OR_CREATE = SecretGetOrCreate(SecretGetOrCreateRequest) -> SecretGetOrCreateResponse, Keyed;
    INFO = SecretGetInfo(SecretGetInfoRequest) -> SecretGetInfoResponse, Read;
    LIST = SecretList(SecretListRequest) -> SecretListResponse, Read;
    UPDATE = SecretUpdate(SecretUpdateRequest) -> Empty, Keyed;
}

/// Objects a page of a list.
const PAGE: i32 = 100;

/// Names and values of a secret.
pub type SecretValues = BTreeMap<String, SecretString>;

/// A secret that Modal keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Secret {
    /// `st-…`.
    pub id: String,
    /// Its name; none for one that only lives with an app.
    pub name: Option<String>,
    /// The names of its keys, if the server tells them.
    pub keys: Vec<String>,
}

/// One line of the list of secrets.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SecretInfo {
    /// `st-…`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The names of its keys.
    pub keys: Vec<String>,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// When a container last got it.
    pub last_used_at: Option<Timestamp>,
}

/// Calls about secrets.
#[derive(Clone, Debug)]
pub struct Secrets {
    client: Client,
}

impl Client {
    /// Secrets.
    pub fn secrets(&self) -> Secrets {
        Secrets {
            client: self.clone(),
        }
    }
}

impl Secrets {
    /// The secret of that name. With `required_keys` it must have at least those.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none, [`ErrorKind::Conflict`] if it lacks a key.
    pub async fn lookup(
        &self,
        name: &str,
        environment: Option<&str>,
        required_keys: &[&str],
    ) -> Result<Secret> {
        let mut request = self.request(name, environment, Existence::MustExist);
        request.required_keys = required_keys.iter().map(|key| (*key).to_owned()).collect();
        self.get_or_create(request).await
    }

    /// Creates a secret. [`Existence::Overwrite`] replaces one of that name with all its keys.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] with [`Existence::CreateNew`]; [`ErrorKind::InvalidArgument`] for keys
    /// that can not be environment variables, and for a lookup.
    pub async fn create(
        &self,
        name: &str,
        environment: Option<&str>,
        values: &SecretValues,
        existence: Existence,
    ) -> Result<Secret> {
        wire::check_name("secret", name)?;
        if existence == Existence::MustExist {
            let text = "a secret with values is created; use lookup to find one";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        let mut request = self.request(name, environment, existence);
        request.env_dict = exposed(values)?;
        self.get_or_create(request).await
    }

    /// A secret without a name, for the objects of one app (`ap-…`).
    ///
    /// # Errors
    /// As for [`create`](Self::create).
    pub async fn create_anonymous(&self, app_id: &str, values: &SecretValues) -> Result<Secret> {
        let mut request = self.request("", None, Existence::MustExist);
        request.object_creation_type = pb::ObjectCreationType::AnonymousOwnedByApp.into();
        request.app_id = app_id.to_owned();
        request.env_dict = exposed(values)?;
        self.get_or_create(request).await
    }

    /// Sets the values that are given and removes the keys whose value is `None`; other keys stay.
    ///
    /// # Errors
    /// What the server says.
    pub async fn update(
        &self,
        secret_id: &str,
        changes: &BTreeMap<String, Option<SecretString>>,
    ) -> Result<()> {
        let updates = changes
            .iter()
            .map(|(key, value)| {
                check_key(key)?;
                let value = value.as_ref().map(|value| value.expose_secret().to_owned());
                Ok(pb::secret_update_request::Update {
                    key: key.clone(),
                    value,
                })
            })
            .collect::<Result<_>>()?;
        let request = pb::SecretUpdateRequest {
            secret_id: secret_id.to_owned(),
            updates,
        };
        self.client.unary(UPDATE, request).await
    }

    /// What is known of a secret: its name and its keys.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none.
    pub async fn info(&self, secret_id: &str) -> Result<SecretInfo> {
        let request = pb::SecretGetInfoRequest {
            secret_id: secret_id.to_owned(),
        };
        let metadata = self
            .client
            .unary(INFO, request)
            .await?
            .metadata
            .unwrap_or_default();
        Ok(SecretInfo {
            id: secret_id.to_owned(),
            created_at: time(metadata.creation_info.unwrap_or_default().created_at),
            last_used_at: time(metadata.last_used_at),
            name: metadata.name,
            keys: metadata.keys,
        })
    }

    /// All named secrets of an environment, newest first.
    ///
    /// # Errors
    /// What the server says.
    pub async fn list(&self, environment: Option<&str>) -> Result<Vec<SecretInfo>> {
        let mut all: Vec<SecretInfo> = Vec::new();
        let mut created_before = 0.0;
        loop {
            let request = pb::SecretListRequest {
                environment_name: self.client.environment_or_default(environment),
                pagination: Some(pb::ListPagination {
                    max_objects: PAGE,
                    created_before,
                }),
            };
            let page = self.client.unary(LIST, request).await?.items;
            let count = page.len();
            let oldest = page.last().map_or(0.0, |item| item.created_at);
            all.extend(page.into_iter().map(|item| {
                SecretInfo {
                    created_at: time(item.created_at),
                    last_used_at: time(item.last_used_at),
                    keys: item
                        .metadata
                        .map(|metadata| metadata.keys)
                        .unwrap_or_default(),
                    id: item.secret_id,
                    name: item.label,
                }
            }));
            if wire::is_last_page(count, PAGE, created_before, oldest) {
                return Ok(all);
            }
            created_before = oldest;
        }
    }

    /// Deletes a secret.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none.
    pub async fn delete(&self, secret_id: &str) -> Result<()> {
        let request = pb::SecretDeleteRequest {
            secret_id: secret_id.to_owned(),
        };
        self.client.unary(DELETE, request).await
    }

    fn request(
        &self,
        name: &str,
        environment: Option<&str>,
        existence: Existence,
    ) -> pb::SecretGetOrCreateRequest {
        pb::SecretGetOrCreateRequest {
            deployment_name: name.to_owned(),
            environment_name: self.client.environment_or_default(environment),
            object_creation_type: existence.wire(),
            ..Default::default()
        }
    }

    async fn get_or_create(&self, request: pb::SecretGetOrCreateRequest) -> Result<Secret> {
        let reply = self.client.unary(GET_OR_CREATE, request).await?;
        let metadata = reply.metadata.unwrap_or_default();
        let id = wire::required(reply.secret_id, "secret id")?;
        Ok(Secret {
            id,
            name: some(metadata.name),
            keys: metadata.keys,
        })
    }
}

fn exposed(values: &SecretValues) -> Result<std::collections::HashMap<String, String>> {
    values
        .iter()
        .map(|(key, value)| {
            check_key(key)?;
            Ok((key.clone(), value.expose_secret().to_owned()))
        })
        .collect()
}

/// A key becomes an environment variable (POSIX.1-2024, 3.210: letters, digits and `_`, no digit first).
fn check_key(key: &str) -> Result<()> {
    let first = key
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if first && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(());
    }
    let text = format!(
        "secret key `{}`: must be the name of an environment variable: letters, digits and `_`, no digit first",
        key.escape_debug()
    );
    Err(Error::new(ErrorKind::InvalidArgument, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_names_of_environment_variables() {
        assert!(check_key("_A1").is_ok());
        for bad in ["", "1A", "A-B", "A=B", "Ä"] {
            assert_eq!(
                check_key(bad).unwrap_err().kind(),
                ErrorKind::InvalidArgument,
                "{bad}"
            );
        }
    }

    #[test]
    fn values_are_not_shown() {
        let values = SecretValues::from([("KEY".to_owned(), SecretString::from("hunter2"))]);
        assert!(!format!("{values:?}").contains("hunter2"));
    }
}
