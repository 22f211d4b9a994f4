//! Which drivers are alive, without clocks: each holds a lock on a file of its own, which the kernel
//! releases when the process is gone, however it ended.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use moorline_core::ids::DriverId;
use rustix::fs::{FlockOperation, flock};

/// Held by a process for as long as it drives attempts.
#[derive(Debug)]
pub(crate) struct DriverLock {
    path: PathBuf,
    /// Whether the file stays when this ends in order.
    stays: AtomicBool,
    _file: File,
}

/// What becomes of the file when its driver ends in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It goes: no other machine shares the store, so a driver without a file was of this one.
    Remove,
    /// It stays, unlocked, until nothing is left to adopt ([`bury`]): where machines share a store, a driver
    /// without a file is then of another one.
    Leave,
}

impl DriverLock {
    /// Creates and locks the file of this driver.
    pub(crate) fn take(drivers: &Path, driver: DriverId, end: End) -> io::Result<Self> {
        let path = drivers.join(driver.to_string());
        let unlocked = drivers.join(format!(".{driver}"));
        let file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(&unlocked)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        // Its name appears only once it is locked, so nobody ever takes it for a dead driver's.
        fs::rename(&unlocked, &path)?;
        Ok(Self {
            path,
            stays: AtomicBool::new(end == End::Leave),
            _file: file,
        })
    }

    /// The file stays whatever was said: this driver may end before what it drives. Without its file only the
    /// end of the lease would tell that it is gone, and until then nobody could end what it left.
    pub(crate) fn leave(&self) {
        self.stays.store(true, Ordering::Relaxed);
    }
}

impl Drop for DriverLock {
    fn drop(&mut self) {
        if !self.stays.load(Ordering::Relaxed) {
            // A file that stays behind is unlocked, which says the same: nobody drives under this id.
            let _ignored = fs::remove_file(&self.path);
        }
    }
}

/// What the lock file of a driver says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Liveness {
    /// Its process holds the lock.
    Alive,
    /// Its process is gone without having cleaned up.
    Gone,
    /// There is no file: it ended in order ([`End::Remove`]), or it drives from another machine. Its lease
    /// decides.
    Unknown,
}

/// Looks at the lock of a driver; changes nothing.
pub(crate) fn look(drivers: &Path, driver: DriverId) -> io::Result<Liveness> {
    let file = match File::open(drivers.join(driver.to_string())) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Liveness::Unknown),
        other => other?,
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Liveness::Gone),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(Liveness::Alive),
        Err(error) => Err(error.into()),
    }
}

/// The drivers whose process is gone without having cleaned up.
pub(crate) fn gone(drivers: &Path) -> io::Result<BTreeSet<DriverId>> {
    let mut gone = BTreeSet::new();
    for entry in fs::read_dir(drivers)? {
        let Some(driver) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue; // Not locked yet; nobody knows it.
        };
        if look(drivers, driver)? == Liveness::Gone {
            gone.insert(driver);
        }
    }
    Ok(gone)
}

/// Removes the lock file of a driver that is gone and has nothing left to adopt, once it was seen to be so for
/// `rest`: where the store is a server, a claim of a process that was killed may still be on its way there.
pub(crate) fn bury(drivers: &Path, driver: DriverId, rest: Duration, now: Timestamp) {
    let path = drivers.join(driver.to_string());
    // Left behind, it would only be looked at again.
    if rest.is_zero() || lain(&path, now).is_some_and(|lain| lain >= rest) {
        let _ignored = fs::remove_file(path);
    }
}

/// For how long the file of a driver is known to be of a dead one. Its content says since when: the first look
/// writes it, and so does one after the clock went back.
fn lain(path: &Path, now: Timestamp) -> Option<Duration> {
    let since = fs::read_to_string(path).ok()?.parse::<Timestamp>().ok();
    let lain = since.and_then(|since| now.duration_since(since).try_into().ok());
    if lain.is_none() {
        let _ignored = fs::write(path, now.to_string());
    }
    lain
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_driver_is_alive_while_its_lock_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let driver = DriverId::new(Uuid::from_u128(7));
        assert_eq!(look(dir.path(), driver).unwrap(), Liveness::Unknown);
        let lock = DriverLock::take(dir.path(), driver, End::Remove).unwrap();
        assert_eq!(look(dir.path(), driver).unwrap(), Liveness::Alive);
        drop(lock);
        assert_eq!(look(dir.path(), driver).unwrap(), Liveness::Unknown);
        // Where machines share a store, an end in order is told from one of another machine.
        drop(DriverLock::take(dir.path(), driver, End::Leave).unwrap());
        assert_eq!(look(dir.path(), driver).unwrap(), Liveness::Gone);
        let (rest, now) = (Duration::from_secs(30), Timestamp::UNIX_EPOCH);
        bury(dir.path(), driver, rest, now);
        bury(dir.path(), driver, rest, now + Duration::from_secs(29));
        assert_eq!(look(dir.path(), driver).unwrap(), Liveness::Gone);
        // The clock goes back: it has not lain since then.
        let earlier = now - Duration::from_hours(1);
        bury(dir.path(), driver, rest, earlier);
        assert_eq!(look(dir.path(), driver).unwrap(), Liveness::Gone);
        bury(dir.path(), driver, rest, earlier + rest);
        assert_eq!(look(dir.path(), driver).unwrap(), Liveness::Unknown);
        // One that may end before what it drives leaves its file, too.
        let lock = DriverLock::take(dir.path(), driver, End::Remove).unwrap();
        lock.leave();
        drop(lock);
        assert_eq!(look(dir.path(), driver).unwrap(), Liveness::Gone);
        bury(dir.path(), driver, Duration::ZERO, now);
        // A process that was killed leaves its file, unlocked.
        fs::write(dir.path().join(driver.to_string()), "").unwrap();
        assert_eq!(look(dir.path(), driver).unwrap(), Liveness::Gone);
        let alive = DriverId::new(Uuid::from_u128(8));
        let _lock = DriverLock::take(dir.path(), alive, End::Remove).unwrap();
        assert_eq!(gone(dir.path()).unwrap(), BTreeSet::from([driver]));
    }
}
