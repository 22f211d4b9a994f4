//! The machine: what it is, and how idle it is.

use std::path::Path;
use std::time::Duration;
use std::{fmt, fs};

use crate::error::{Error, Result};

/// How long [`Idle::over_a_moment`] looks.
const MOMENT: Duration = Duration::from_millis(200);

/// What stands at the top of every report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) processor: String,
    pub(super) kernel: String,
    /// Mebibytes.
    pub(super) memory: u64,
    /// The file system that commits go to.
    pub(super) file_system: String,
}

impl Machine {
    /// What `/proc` says; a fact that it does not have is `unknown` or 0.
    pub(super) fn look(scratch: &Path) -> Self {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let value = |text: &str, key: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(key))
                .unwrap_or_default();
            line.trim_start_matches([' ', '\t', ':']).trim().to_owned()
        };
        let or_unknown = |text: String| {
            if text.is_empty() {
                "unknown".to_owned()
            } else {
                text
            }
        };
        let kibibytes = value(&read("/proc/meminfo"), "MemTotal");
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: or_unknown(value(&read("/proc/cpuinfo"), "model name")),
            kernel: or_unknown(read("/proc/sys/kernel/osrelease").trim().to_owned()),
            memory: kibibytes
                .trim_end_matches(" kB")
                .parse::<u64>()
                .unwrap_or(0)
                / 1024,
            file_system: or_unknown(file_system(&read("/proc/mounts"), scratch)),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cores,
            processor,
            kernel,
            memory,
            file_system,
        } = self;
        write!(
            f,
            "machine: {cores} cores ({processor}), Linux {kernel}, {memory} MiB, {file_system}"
        )
    }
}

/// The type of the file system with the longest mount point that `path` lies below.
fn file_system(mounts: &str, path: &Path) -> String {
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((Path::new(fields.next()?), fields.next()?))
        })
        .filter(|(mount_point, _)| path.starts_with(mount_point))
        .max_by_key(|(mount_point, _)| mount_point.components().count())
        .map_or(String::new(), |(_, kind)| kind.to_owned())
}

/// The share of time in which the processors had nothing to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Idle {
    start: Ticks,
}

impl Idle {
    /// Starts to look.
    pub(super) fn begin() -> Result<Self> {
        Ok(Self {
            start: Ticks::now()?,
        })
    }

    /// The share since [`Idle::begin`], in percent.
    pub(super) fn end(self) -> Result<f64> {
        Ok(self.start.idle_until(Ticks::now()?))
    }

    /// The share over a short time, in percent.
    pub(super) fn over_a_moment() -> Result<f64> {
        let idle = Self::begin()?;
        std::thread::sleep(MOMENT);
        idle.end()
    }
}

/// The first line of `/proc/stat`: time of all processors since boot, in ticks of 10 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    idle: u32,
    all: u32,
}

impl Ticks {
    fn now() -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat").map_err(Error::io("read /proc/stat"))?;
        Self::parse(&stat)
            .ok_or_else(|| Error::Refused("/proc/stat does not begin as proc(5) says".to_owned()))
    }

    fn parse(stat: &str) -> Option<Self> {
        let fields = stat.lines().next()?.strip_prefix("cpu ")?;
        // user nice system idle iowait irq softirq steal; what follows is part of user. Modulo
        // 2^32, since only differences count.
        #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32 is meant")]
        let ticks: Vec<u32> = fields
            .split_ascii_whitespace()
            .take(8)
            .map(|field| field.parse::<u64>().map(|ticks| ticks as u32))
            .collect::<std::result::Result<_, _>>()
            .ok()?;
        let idle = ticks.get(3)?.wrapping_add(*ticks.get(4)?);
        Some(Self {
            idle,
            all: ticks
                .iter()
                .fold(0, |sum: u32, ticks| sum.wrapping_add(*ticks)),
        })
    }

    /// In percent. Not a number when no tick has gone by.
    fn idle_until(self, end: Self) -> f64 {
        let idle = f64::from(end.idle.wrapping_sub(self.idle));
        100.0 * idle / f64::from(end.all.wrapping_sub(self.all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_is_idle_and_waiting_for_the_disk() {
        let start = Ticks::parse("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3\n").unwrap();
        let end = Ticks::parse("cpu  150 0 150 780 120 0 0 0 0 0\n").unwrap();
        assert_eq!(
            start,
            Ticks {
                idle: 800,
                all: 1000
            }
        );
        assert!((start.idle_until(end) - 50.0).abs() < 1e-9);
        assert_eq!(Ticks::parse("intr 1 2 3"), None);
    }

    #[test]
    fn the_deepest_mount_point_counts() {
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n";
        assert_eq!(file_system(mounts, Path::new("/tmp/x")), "tmpfs");
        assert_eq!(file_system(mounts, Path::new("/home/x")), "ext4");
        assert_eq!(file_system("", Path::new("/")), "");
    }
}
