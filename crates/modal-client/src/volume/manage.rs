//! Volumes as objects of an environment: found, made, renamed, deleted, listed.

use jiff::Timestamp;
use moorline_modal_proto::client::{
    ListPagination, VolumeDeleteRequest, VolumeGetByIdRequest, VolumeGetOrCreateRequest,
    VolumeListItem, VolumeListRequest, VolumeRenameRequest,
};

use super::ephemeral::Ephemeral;
use super::{DELETE, GET_BY_ID, GET_OR_CREATE, LIST, RENAME, Version, Volume};
use crate::wire::{self, Existence, is_last_page, some, time};
use crate::{Client, Error, ErrorKind, Result};

/// Volumes per page of a listing.
const PAGE: i32 = 100;

/// One volume of a listing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct VolumeInfo {
    /// `vo-…`.
    pub id: String,
    /// The name.
    pub name: String,
    /// The storage layout.
    pub version: Version,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// Who made it, if that is told.
    pub created_by: Option<String>,
}

impl VolumeInfo {
    fn of(item: VolumeListItem) -> Self {
        let version = Version::of(item.metadata.as_ref());
        let created = item.metadata.and_then(|metadata| metadata.creation_info);
        Self {
            id: item.volume_id,
            name: item.label,
            version,
            created_at: time(
                created
                    .as_ref()
                    .map_or(item.created_at, |created| created.created_at),
            ),
            created_by: created.and_then(|created| some(created.created_by)),
        }
    }
}

/// Calls about volumes as objects of an environment.
#[derive(Clone, Debug)]
pub struct Volumes {
    client: Client,
}

impl Client {
    /// Volumes.
    pub fn volumes(&self) -> Volumes {
        Volumes {
            client: self.clone(),
        }
    }
}

impl Volumes {
    /// The volume of that name, found or made as `existence` says. The server chooses the version of a new
    /// one if none is given.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it must exist and does not; [`ErrorKind::AlreadyExists`] with
    /// [`Existence::CreateNew`]; [`ErrorKind::Conflict`] if it has another version;
    /// [`ErrorKind::InvalidArgument`] for [`Existence::Overwrite`], which volumes do not have.
    pub async fn lookup(
        &self,
        name: &str,
        environment: Option<&str>,
        existence: Existence,
        version: Option<Version>,
    ) -> Result<Volume> {
        wire::check_name("volume", name)?;
        if existence == Existence::Overwrite {
            let message = "a volume is not overwritten; delete it and create another";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let environment = self.client.environment_or_default(environment);
        let request = get_or_create(name, environment, version, existence.wire());
        let response = self.client.unary(GET_OR_CREATE, request).await?;
        let id = wire::required(response.volume_id, "volume id")?;
        let volume = Volume::new(&self.client, id, response.metadata.as_ref(), Some(name));
        match version {
            Some(version) if version != volume.version => {
                let message = format!(
                    "volume `{name}` has version {}, asked for was {version}",
                    volume.version
                );
                Err(Error::new(ErrorKind::Conflict, message))
            }
            _ => Ok(volume),
        }
    }

    /// The volume of an id (`vo-…`).
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none.
    #[expect(
        clippy::wrong_self_convention,
        reason = "the name that the official clients have for it"
    )]
    pub async fn from_id(&self, volume_id: &str) -> Result<Volume> {
        let request = VolumeGetByIdRequest {
            volume_id: volume_id.to_owned(),
        };
        let response = self.client.unary(GET_BY_ID, request).await?;
        let id = wire::required(response.volume_id, "volume id")?;
        Ok(Volume::new(
            &self.client,
            id,
            response.metadata.as_ref(),
            None,
        ))
    }

    /// A volume without a name that lives as long as its handle.
    ///
    /// # Errors
    /// What the server says.
    pub async fn ephemeral(
        &self,
        environment: Option<&str>,
        version: Option<Version>,
    ) -> Result<Ephemeral> {
        Ephemeral::create(&self.client, environment, version).await
    }

    /// All volumes of an environment, the newest first.
    ///
    /// # Errors
    /// What the server says.
    pub async fn list(&self, environment: Option<&str>) -> Result<Vec<VolumeInfo>> {
        let mut volumes: Vec<VolumeInfo> = Vec::new();
        let mut created_before = 0.0;
        loop {
            let request = VolumeListRequest {
                environment_name: self.client.environment_or_default(environment),
                pagination: Some(ListPagination {
                    max_objects: PAGE,
                    created_before,
                }),
            };
            let page = self.client.unary(LIST, request).await?.items;
            let (count, oldest) = (page.len(), page.last().map_or(0.0, |item| item.created_at));
            volumes.extend(page.into_iter().map(VolumeInfo::of));
            if is_last_page(count, PAGE, created_before, oldest) {
                return Ok(volumes);
            }
            created_before = oldest;
        }
    }
}

impl Volume {
    /// Deletes the volume and everything in it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it is gone.
    pub async fn delete(&self) -> Result<()> {
        let request = VolumeDeleteRequest {
            volume_id: self.id.clone(),
            ..VolumeDeleteRequest::default()
        };
        self.client.unary(DELETE, request).await
    }

    /// Gives the volume another name; the handle has it from then on.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if another volume has it.
    pub async fn rename(&mut self, name: &str) -> Result<()> {
        wire::check_name("volume", name)?;
        let request = VolumeRenameRequest {
            volume_id: self.id.clone(),
            name: name.to_owned(),
        };
        self.client.unary(RENAME, request).await?;
        self.name = Some(name.to_owned());
        Ok(())
    }
}

pub(super) fn get_or_create(
    name: &str,
    environment: String,
    version: Option<Version>,
    creation: i32,
) -> VolumeGetOrCreateRequest {
    VolumeGetOrCreateRequest {
        deployment_name: name.to_owned(),
        environment_name: environment,
        object_creation_type: creation,
        version: Version::to_proto(version).into(),
        ..VolumeGetOrCreateRequest::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use moorline_modal_proto::client::{CreationInfo, VolumeMetadata};

    #[test]
    fn the_request_names_volume_version_and_manner() {
        let request = get_or_create("data", "dev".into(), Some(Version::V2), 1);
        let expected = VolumeGetOrCreateRequest {
            deployment_name: "data".into(),
            environment_name: "dev".into(),
            object_creation_type: 1,
            version: 2,
            ..VolumeGetOrCreateRequest::default()
        };
        assert_eq!(request, expected);
    }

    #[test]
    fn metadata_decides_the_version() {
        let item = VolumeListItem {
            label: "data".into(),
            volume_id: "vo-1".into(),
            created_at: 5.0,
            metadata: Some(VolumeMetadata {
                version: 2,
                name: "data".into(),
                creation_info: Some(CreationInfo {
                    created_at: 6.0,
                    created_by: "me".into(),
                }),
            }),
        };
        let expected = VolumeInfo {
            id: "vo-1".into(),
            name: "data".into(),
            version: Version::V2,
            created_at: time(6.0),
            created_by: Some("me".into()),
        };
        assert_eq!(VolumeInfo::of(item.clone()), expected);
        let bare = VolumeInfo {
            version: Version::V1,
            created_at: time(5.0),
            created_by: None,
            ..expected
        };
        assert_eq!(
            VolumeInfo::of(VolumeListItem {
                metadata: None,
                ..item
            }),
            bare
        );
    }
}
