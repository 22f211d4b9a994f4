//! Limits on a tree of processes that somebody else starts (cgroups(7)).
//!
//! For those who run processes of their own beside the executor's and want the same limits for them. The
//! executor's own attempts are limited by [`local`](crate::local).
//!
//! ```no_run
//! use moorline_executor::cgroup::{LimitedTree, TreeLimits};
//!
//! # fn limit(child: &std::process::Child) -> Result<(), String> {
//! let limits = TreeLimits {
//!     memory_bytes: Some(1 << 30),
//!     ..TreeLimits::default()
//! };
//! let tree = LimitedTree::new("my-service-1", limits)?;
//! tree.add(child.id())?;
//! # Ok(())
//! # }
//! ```

use crate::sandbox::cgroup::{Controller, Groups, find, has, plan};

pub use crate::sandbox::cgroup::TreeLimits;

/// Groups that limit whatever is added to them, and what that starts. Dropping it removes them; whatever is
/// in them then must have ended.
#[derive(Debug)]
pub struct LimitedTree {
    groups: Groups,
}

impl LimitedTree {
    /// Makes groups of this name below, or beside, those that this process is in.
    ///
    /// # Errors
    /// A sentence for people, when this machine does not let this process limit one of them.
    pub fn new(name: &str, limits: TreeLimits) -> Result<Self, String> {
        let hierarchies = find().map_err(|error| format!("looking for cgroups: {error}"))?;
        let groups = plan(limits, &hierarchies, name);
        let wanted = [
            (Controller::Memory, limits.memory_bytes.is_some()),
            (Controller::Pids, limits.tasks.is_some()),
            (Controller::Cpu, limits.cpu.is_some()),
        ];
        for (controller, is_wanted) in wanted {
            if is_wanted && !has(&groups, controller) {
                return Err(format!(
                    "no cgroup with the controller `{}` can be made here; run as root, or in a \
                     session whose service manager delegates it",
                    controller.name()
                ));
            }
        }
        Groups::make(&groups).map(|groups| Self { groups })
    }

    /// Adds a process, before it starts others. May take some milliseconds.
    ///
    /// # Errors
    /// A sentence for people, such as when it has ended.
    pub fn add(&self, pid: u32) -> Result<(), String> {
        let added = self.groups.add(pid);
        added.map_err(|error| format!("adding process {pid} to its cgroup: {error}"))
    }

    /// How many of its processes the kernel killed because its memory was over.
    pub fn memory_kills(&self) -> u64 {
        self.groups.usage().memory_kills
    }
}
