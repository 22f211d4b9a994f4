//! Writing files: the part that both storage versions share.

use super::{Version, Volume, put_v1, put_v2};
use crate::transfer::Files;
use crate::{Error, ErrorKind, Result};

/// How files are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutOptions {
    /// Replaces files that are there; refused as [`ErrorKind::AlreadyExists`] otherwise.
    pub overwrite: bool,
}

impl PutOptions {
    /// Refuses to replace files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces files that are there.
    #[must_use]
    pub fn overwrite(mut self) -> Self {
        self.overwrite = true;
        self
    }
}

/// What an upload did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Put {
    /// Files that were written.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Bytes that were sent, because the server did not have them.
    pub sent: u64,
}

impl Volume {
    /// Writes files at paths from the volume's root; a slash in front makes no difference. All appear at
    /// once when all their contents are stored, or none does.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] without [`overwrite`](PutOptions::overwrite); [`ErrorKind::Io`] for local
    /// files that can not be read or change meanwhile.
    pub async fn put(&self, files: &Files, options: PutOptions) -> Result<Put> {
        let uploads = files.resolve().await?;
        if uploads.is_empty() {
            return Ok(Put::default());
        }
        if let Some(upload) = uploads.iter().find(|upload| escapes(&upload.remote)) {
            let message = format!("`{}` is not a path inside a volume", upload.remote);
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let counted = Put {
            files: uploads.len() as u64,
            bytes: uploads.iter().map(|upload| upload.source.len()).sum(),
            sent: 0,
        };
        let sent = match self.version {
            Version::V1 => put_v1::put(&self.client, &self.id, uploads, options).await?,
            Version::V2 => put_v2::put(&self.client, &self.id, uploads, options).await?,
        };
        Ok(Put { sent, ..counted })
    }
}

/// Whether a path leads out of the tree, or holds what no path can.
pub(super) fn escapes(path: &str) -> bool {
    path.contains('\0') || path.split('/').any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Client, Config};

    #[tokio::test]
    async fn a_path_that_leads_out_is_refused_before_anything_is_sent() {
        let client = Client::new(Config::new("http://127.0.0.1:1", "a", "b").unwrap()).unwrap();
        let volume = Volume::new(&client, "vo-1".into(), None, None);
        for path in ["../x", "/a/../x", "a\0b"] {
            let files = Files::new().bytes("x", path);
            let error = volume.put(&files, PutOptions::new()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{path}");
        }
        assert_eq!(
            volume.put(&Files::new(), PutOptions::new()).await.unwrap(),
            Put::default()
        );
    }
}
