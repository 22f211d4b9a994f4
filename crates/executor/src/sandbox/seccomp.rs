//! System calls that a job may not make (seccomp(2)).
//!
//! A list of refusals, not of permissions: jobs are any program, and a refused call should look like an old
//! or hardened kernel. What is refused either changes the machine, reaches other processes, or opens
//! kernel code that unprivileged programs rarely need and attackers like. Calls that programs try and have
//! a substitute for answer `ENOSYS`, so that they take it; the others `EPERM`.
//!
//! On x86-64 the 32-bit entry ends the process (another architecture for the filter), and the x32 numbers
//! are refused one by one.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Calls that are refused whatever their arguments.
const REFUSED: &[i64] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    // Mounts and roots.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    // Namespaces.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // Keys, tracing, kernel code.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_fanotify_init,
    libc::SYS_lookup_dcookie,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_reboot,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
];

/// Calls that only this architecture has.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] = &[
    libc::SYS_kexec_file_load,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[];

/// Calls that seem not to exist, because programs then do without.
const ABSENT: &[i64] = &[
    // Its flags are in memory, where a filter can not look; `clone` does the same.
    libc::SYS_clone3,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_userfaultfd,
];

/// `clone` flags that make namespaces.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// Calls that change how another process runs, with the argument that says which. They ask for the same
/// user only, so a job could starve process 1 of its sandbox, or take its descriptors from it.
const STEERING: [(i64, u8); 7] = [
    (libc::SYS_prlimit64, 0),
    (libc::SYS_sched_setaffinity, 0),
    (libc::SYS_sched_setattr, 0),
    (libc::SYS_sched_setparam, 0),
    (libc::SYS_sched_setscheduler, 0),
    (libc::SYS_setpriority, 1),
    (libc::SYS_ioprio_set, 1),
];

/// The helper in its process namespace.
const PROCESS_1: u64 = 1;

/// Socket families that a job may use.
const FAMILIES: [libc::c_int; 4] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];

/// Calls of the x32 interface with numbers of their own (`arch/x86/entry/syscalls/syscall_64.tbl`):
/// `ptrace`, `kexec_load`, `move_pages`, `process_vm_readv`, `process_vm_writev`.
#[cfg(target_arch = "x86_64")]
const X32_ONLY: [i64; 5] = [521, 528, 533, 539, 540];
/// What marks a number of the x32 interface.
#[cfg(target_arch = "x86_64")]
const X32_BIT: i64 = 0x4000_0000;

/// Lays the filters upon this process and all that it starts. `no_new_privs` is set on the way.
pub(crate) fn restrict() -> Result<(), String> {
    let fail = |error: seccompiler::Error| format!("seccomp: {error}");
    for filter in filters().map_err(fail)? {
        apply_filter(&filter).map_err(fail)?;
    }
    Ok(())
}

fn filters() -> Result<[BpfProgram; 2], seccompiler::Error> {
    let refused = program(refused()?, libc::EPERM)?;
    let absent = program(
        ABSENT.iter().map(|&number| (number, Vec::new())).collect(),
        libc::ENOSYS,
    )?;
    Ok([refused, absent])
}

fn refused() -> Result<Rules, seccompiler::Error> {
    let mut rules: Rules = REFUSED
        .iter()
        .chain(REFUSED_HERE)
        .map(|&number| (number, Vec::new()))
        .collect();
    let namespaces = NAMESPACES.iter().map(|&flag| {
        let flag = u64::from(flag.cast_unsigned());
        rule(vec![condition(0, SeccompCmpOp::MaskedEq(flag), flag)?])
    });
    rules.insert(libc::SYS_clone, namespaces.collect::<Result<_, _>>()?);
    #[cfg(target_arch = "x86_64")]
    rules.extend(X32_ONLY.map(|number| (number | X32_BIT, Vec::new())));
    let other_family = FAMILIES
        .iter()
        .map(|&family| differs(0, family))
        .collect::<Result<_, _>>()?;
    let netlink = libc::AF_NETLINK.cast_unsigned().into();
    let other_netlink = vec![
        condition(0, SeccompCmpOp::Eq, netlink)?,
        differs(2, libc::NETLINK_ROUTE)?,
    ];
    rules.insert(
        libc::SYS_socket,
        vec![rule(other_family)?, rule(other_netlink)?],
    );
    for (number, argument) in STEERING {
        let process_1 = condition(argument, SeccompCmpOp::Eq, PROCESS_1)?;
        rules.insert(number, vec![rule(vec![process_1])?]);
    }
    // Typing into the terminal of another process.
    let terminal = [libc::TIOCSTI, libc::TIOCLINUX]
        .map(|request| rule(vec![condition(1, SeccompCmpOp::Eq, request)?]));
    rules.insert(
        libc::SYS_ioctl,
        terminal.into_iter().collect::<Result<_, _>>()?,
    );
    Ok(rules)
}

fn differs(argument: u8, value: libc::c_int) -> Result<SeccompCondition, seccompiler::Error> {
    condition(argument, SeccompCmpOp::Ne, value.cast_unsigned().into())
}

fn condition(
    argument: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, seccompiler::Error> {
    // The kernel ignores the upper half of these arguments, so the filter must not look at it.
    Ok(SeccompCondition::new(
        argument,
        SeccompCmpArgLen::Dword,
        operator,
        value,
    )?)
}

fn rule(conditions: Vec<SeccompCondition>) -> Result<SeccompRule, seccompiler::Error> {
    Ok(SeccompRule::new(conditions)?)
}

fn program(mut rules: Rules, errno: libc::c_int) -> Result<BpfProgram, seccompiler::Error> {
    #[cfg(target_arch = "x86_64")]
    {
        let x32: Vec<_> = rules
            .iter()
            .map(|(number, rules)| (number | X32_BIT, rules.clone()))
            .collect();
        rules.extend(x32);
    }
    let arch = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(errno.cast_unsigned()),
        arch,
    )?;
    Ok(filter.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_compile_and_fit_the_kernel() {
        for filter in filters().unwrap() {
            // BPF_MAXINSNS.
            assert!(
                (10..4096).contains(&filter.len()),
                "{} instructions",
                filter.len()
            );
        }
    }
}
