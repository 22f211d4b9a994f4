//! A small `/etc` for sandboxes: what programs need to start and to verify certificates, and nothing of
//! this machine's own configuration.
//!
//! It is a directory that is made once and mounted read-only into each sandbox, since one mount is cheaper
//! than one for each file. When something it was copied from changes, the next launch makes a new one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// What is copied from the host, where it is there: tables and certificates, no configuration that could
/// hold a secret. Directories are copied with all files and links that anyone may read.
const COPIED: &[&str] = &[
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "fonts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "mime.types",
    "os-release",
    "pki/ca-trust/extracted",
    "pki/tls/certs",
    "pki/tls/openssl.cnf",
    "protocols",
    "services",
    "ssl/cert.pem",
    "ssl/certs",
    "ssl/openssl.cnf",
    "timezone",
];

/// What every sandbox has, whatever the host has.
const FIXED: &[(&str, &str)] = &[
    (
        "passwd",
        "root:x:0:0:root:/:/usr/sbin/nologin\njob:x:1000:1000:job:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    ),
    ("group", "root:x:0:\njob:x:1000:\nnogroup:x:65534:\n"),
    ("hosts", "127.0.0.1\tlocalhost moorline\n::1\tlocalhost\n"),
    (
        "nsswitch.conf",
        "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
    ),
    (
        "resolv.conf",
        "# this sandbox has no resolver: names are resolved by the egress proxy\n",
    ),
    ("host.conf", "multi on\n"),
    ("shells", "/bin/sh\n"),
];

/// The present directory below `home`, made when it is not there.
pub(crate) fn directory(home: &Path, host: &Path) -> io::Result<PathBuf> {
    let ready = home.join(format!(".etc-{:016x}", fingerprint(host)));
    if ready.is_dir() {
        return Ok(ready);
    }
    let thread = rustix::thread::gettid().as_raw_nonzero();
    let building = home.join(format!(".etc-{thread}.tmp"));
    fs::remove_dir_all(&building).or_else(crate::local::layout::absent_is_fine)?;
    fs::create_dir(&building)?;
    for name in COPIED {
        copy(&host.join(name), &building.join(name))?;
    }
    for (name, text) in FIXED {
        File::create(building.join(name))?.write_all(text.as_bytes())?;
    }
    match fs::rename(&building, &ready) {
        Ok(()) => Ok(ready),
        // Another process was faster.
        Err(_) if ready.is_dir() => fs::remove_dir_all(&building).map(|()| ready),
        Err(error) => Err(error),
    }
}

/// Changes when one of the copied entries does. Not cryptographic: it only has to differ.
fn fingerprint(host: &Path) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |value: i64| {
        for byte in value.to_le_bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for name in COPIED {
        // Of what a link leads to, as that is what is copied.
        let stamp =
            fs::metadata(host.join(name)).map(|meta| (meta.mtime(), meta.mtime_nsec(), meta.ino()));
        let (seconds, nanos, inode) = stamp.unwrap_or_default();
        add(seconds);
        add(nanos);
        add(inode.cast_signed());
    }
    for byte in FIXED.iter().flat_map(|(_, text)| text.bytes()) {
        add(byte.into());
    }
    hash
}

/// Copies a file or directory; links within directories stay links. What can not be read by everyone, and
/// what is neither file, directory nor link, is left out.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let meta = match fs::metadata(from) {
        Ok(meta) if meta.permissions().mode() & 0o004 != 0 => meta,
        Ok(_) => return Ok(()),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ) =>
        {
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    if meta.is_file() {
        return fs::copy(from, to).map(drop);
    }
    if !meta.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_symlink() {
            symlink(fs::read_link(entry.path())?, target)?;
        } else {
            copy(&entry.path(), &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> tempfile::TempDir {
        let host = tempfile::tempdir().unwrap();
        let at = |name: &str| host.path().join(name);
        fs::create_dir_all(at("ssl/certs")).unwrap();
        fs::create_dir_all(at("ssl/private")).unwrap();
        fs::write(at("ssl/certs/ca.pem"), "certificate").unwrap();
        symlink("/usr/share/other.pem", at("ssl/certs/other.pem")).unwrap();
        fs::write(at("ssl/private/key.pem"), "key").unwrap();
        fs::write(at("shadow"), "hashes").unwrap();
        fs::write(at("passwd"), "real:x:0:0::/:/bin/sh").unwrap();
        fs::write(at("services"), "http 80/tcp").unwrap();
        fs::write(at("magic"), "private").unwrap();
        fs::set_permissions(at("magic"), fs::Permissions::from_mode(0o600)).unwrap();
        host
    }

    #[test]
    fn tables_and_certificates_are_there_and_the_rest_is_not() {
        let (host, home) = (host(), tempfile::tempdir().unwrap());
        let etc = directory(home.path(), host.path()).unwrap();
        assert_eq!(
            fs::read_to_string(etc.join("services")).unwrap(),
            "http 80/tcp"
        );
        assert_eq!(
            fs::read_to_string(etc.join("ssl/certs/ca.pem")).unwrap(),
            "certificate"
        );
        let link = fs::read_link(etc.join("ssl/certs/other.pem")).unwrap();
        assert_eq!(link, Path::new("/usr/share/other.pem"));
        assert!(
            fs::read_to_string(etc.join("passwd"))
                .unwrap()
                .contains("\njob:x:1000:")
        );
        for absent in ["shadow", "ssl/private", "magic"] {
            assert!(!etc.join(absent).exists(), "{absent}");
        }
    }

    #[test]
    fn it_is_made_once_and_again_when_the_host_changes() {
        let (host, home) = (host(), tempfile::tempdir().unwrap());
        let first = directory(home.path(), host.path()).unwrap();
        assert_eq!(directory(home.path(), host.path()).unwrap(), first);
        fs::remove_file(host.path().join("services")).unwrap();
        let second = directory(home.path(), host.path()).unwrap();
        assert_ne!(second, first);
        assert!(!second.join("services").exists());
    }
}
