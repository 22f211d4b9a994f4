//! Volumes as objects of an environment: found, made, renamed, deleted, listed.

use moorline_modal_proto::client::{
    ListPagination, ObjectCreationType, VolumeDeleteRequest, VolumeGetByIdRequest,
    VolumeGetOrCreateRequest, VolumeListItem, VolumeListRequest, VolumeRenameRequest,
};

use super::{DELETE, GET_BY_ID, GET_OR_CREATE, LIST, RENAME, Version, Volume};
use crate::sandbox::check_object_name;
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
    /// Seconds since 1970.
    pub created_at: f64,
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
            created_at: created
                .as_ref()
                .map_or(item.created_at, |created| created.created_at),
            created_by: created
                .map(|created| created.created_by)
                .filter(|by| !by.is_empty()),
        }
    }
}

/// All volumes of an environment, the newest first.
pub async fn list(client: &Client, environment: Option<&str>) -> Result<Vec<VolumeInfo>> {
    let mut volumes: Vec<VolumeInfo> = Vec::new();
    let mut created_before = 0.0;
    loop {
        let request = VolumeListRequest {
            environment_name: client.environment_or_default(environment),
            pagination: Some(ListPagination {
                max_objects: PAGE,
                created_before,
            }),
        };
        let page = client.unary(LIST, request).await?.items;
        let last = page.last().map(|item| item.created_at);
        let full = page.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
        // Volumes of one instant may be on both sides of a page's end.
        let new = page.into_iter().map(VolumeInfo::of);
        let new: Vec<_> = new
            .filter(|new| !volumes.iter().rev().any(|old| old.id == new.id))
            .collect();
        let progress = !new.is_empty();
        volumes.extend(new);
        match last {
            Some(last) if full && progress => created_before = last,
            _ => return Ok(volumes),
        }
    }
}

impl Volume {
    /// Finds a volume by name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none.
    pub async fn lookup(client: &Client, name: &str, environment: Option<&str>) -> Result<Self> {
        Self::resolve(
            client,
            name,
            environment,
            None,
            ObjectCreationType::Unspecified,
        )
        .await
    }

    /// Makes a volume.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if there is one of this name.
    pub async fn create(
        client: &Client,
        name: &str,
        environment: Option<&str>,
        version: Option<Version>,
    ) -> Result<Self> {
        Self::resolve(
            client,
            name,
            environment,
            version,
            ObjectCreationType::CreateFailIfExists,
        )
        .await
    }

    /// Finds a volume or makes it; the server chooses the version if none is given.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if there is one of another version.
    pub async fn get_or_create(
        client: &Client,
        name: &str,
        environment: Option<&str>,
        version: Option<Version>,
    ) -> Result<Self> {
        Self::resolve(
            client,
            name,
            environment,
            version,
            ObjectCreationType::CreateIfMissing,
        )
        .await
    }

    /// The volume of an id.
    pub async fn from_id(client: &Client, volume_id: &str) -> Result<Self> {
        let request = VolumeGetByIdRequest {
            volume_id: volume_id.to_owned(),
        };
        let response = client.unary(GET_BY_ID, request).await?;
        Ok(Self::new(
            client,
            response.volume_id,
            response.metadata.as_ref(),
            None,
        ))
    }

    /// Deletes the volume and everything in it.
    pub async fn delete(&self) -> Result<()> {
        let request = VolumeDeleteRequest {
            volume_id: self.id.clone(),
            ..VolumeDeleteRequest::default()
        };
        self.client.unary(DELETE, request).await
    }

    /// Gives the volume another name; the handle has it from then on.
    pub async fn rename(&mut self, name: &str) -> Result<()> {
        check_object_name(name)?;
        let request = VolumeRenameRequest {
            volume_id: self.id.clone(),
            name: name.to_owned(),
        };
        self.client.unary(RENAME, request).await?;
        self.name = Some(name.to_owned());
        Ok(())
    }

    async fn resolve(
        client: &Client,
        name: &str,
        environment: Option<&str>,
        version: Option<Version>,
        creation: ObjectCreationType,
    ) -> Result<Self> {
        check_object_name(name)?;
        let environment = client.environment_or_default(environment);
        let request = get_or_create(name, environment, version, creation);
        let response = client.unary(GET_OR_CREATE, request).await?;
        let volume = Self::new(
            client,
            response.volume_id,
            response.metadata.as_ref(),
            Some(name),
        );
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
}

pub(super) fn get_or_create(
    name: &str,
    environment: String,
    version: Option<Version>,
    creation: ObjectCreationType,
) -> VolumeGetOrCreateRequest {
    VolumeGetOrCreateRequest {
        deployment_name: name.to_owned(),
        environment_name: environment,
        object_creation_type: creation.into(),
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
        let request = get_or_create(
            "data",
            "dev".into(),
            Some(Version::V2),
            ObjectCreationType::CreateIfMissing,
        );
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
            created_at: 6.0,
            created_by: Some("me".into()),
        };
        assert_eq!(VolumeInfo::of(item.clone()), expected);
        let bare = VolumeInfo {
            version: Version::V1,
            created_at: 5.0,
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
