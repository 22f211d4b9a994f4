//! What `/proc` says of processes (proc(5)).

use std::fs;
use std::io::{self, Read as _};

use rustix::process::Pid;

/// State and start time of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// State letter.
    pub(crate) state: u8,
    /// Clock ticks since boot: with the id, names a process of this boot for good.
    pub(crate) start_time: u64,
}

impl Stat {
    /// Whether it has ended and only its parent has not asked yet.
    pub(crate) const fn is_over(self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }
}

/// Reads the state of a process; `None` when there is none with this id.
pub(crate) fn stat(pid: i32) -> io::Result<Option<Stat>> {
    match read_at_once(&format!("/proc/{pid}/stat"), 1024) {
        Ok(text) => parse_stat(&text)
            .map(Some)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unexpected /proc/PID/stat")),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a file of the kernel's that is not longer than `most`, with as few calls as can be: it tells no
/// size beforehand, and reading it in small pieces makes the kernel write it anew for each.
fn read_at_once(path: &str, most: usize) -> io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(most);
    let limit = u64::try_from(most).unwrap_or(u64::MAX);
    fs::File::open(path)?.take(limit).read_to_end(&mut text)?;
    Ok(text)
}

/// Whether an error of reading below `/proc/PID` means that the process is gone.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// The name in parentheses may hold spaces and parentheses, so fields are counted from the last one.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let name_end = text.iter().rposition(|&byte| byte == b')')?;
    let fields = std::str::from_utf8(text.get(name_end + 1..)?).ok()?;
    let mut fields = fields.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    // `state` is field 3, the start time field 22.
    let start_time = fields.nth(18)?.parse().ok()?;
    Some(Stat { state, start_time })
}

/// Closes every descriptor but the three standard ones.
///
/// For the very start of a process, when nothing of its own is open yet: then what is open was left so by
/// whoever called, and is nothing that a job, or a supervisor that outlives its caller, may hold.
pub(crate) fn close_inherited() -> io::Result<()> {
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        match nix::unistd::close(descriptor) {
            // That of the listing itself, which is closed by now.
            Ok(()) | Err(nix::errno::Errno::EBADF) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The direct children of this process, as of now.
///
/// The kernel keeps the list per thread: a child belongs to the thread that started or adopted it.
pub(crate) fn children() -> io::Result<Vec<Pid>> {
    let mut children = Vec::new();
    for thread in fs::read_dir("/proc/self/task")? {
        let list = match fs::read_to_string(thread?.path().join("children")) {
            Ok(list) => list,
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(error),
        };
        let pids = list
            .split_ascii_whitespace()
            .filter_map(|pid| pid.parse().ok());
        children.extend(pids.filter_map(Pid::from_raw));
    }
    Ok(children)
}

/// How many processes this machine has killed since its boot because memory was over.
pub(crate) fn memory_kills() -> u64 {
    let text = read_at_once("/proc/vmstat", 32 * 1024).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let count = text
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok());
    count.unwrap_or(0)
}

/// The id of this boot of the machine.
pub(crate) fn boot_id() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_name_with_parentheses() {
        let text = b"42 (a) b (c) S 7 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987 55 66";
        assert_eq!(
            parse_stat(text),
            Some(Stat {
                state: b'S',
                start_time: 987
            })
        );
        assert_eq!(parse_stat(b"42 (a) S 7"), None);
    }

    #[test]
    fn this_process_is_alive_and_a_free_id_is_not() {
        let me = rustix::process::getpid().as_raw_nonzero().get();
        assert!(!stat(me).unwrap().unwrap().is_over());
        assert_eq!(stat(i32::MAX).unwrap(), None);
    }
}
