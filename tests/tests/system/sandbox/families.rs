//! Files, processes, network and privileges: whole families of attacks in one run.

use super::range::Range;
use super::trial::{Job, Ran, Trial, User, directly, expect};

/// Attacks that only root has a chance of, sandbox or not.
const FOR_ROOT: [&str; 62] = [
    "read-etc-shadow",
    "list-the-home-of-root",
    "open-by-handle",
    "mount-a-file-system",
    "mount-a-proc",
    "mount-by-the-new-interface",
    "clone-a-tree-of-mounts",
    "escape-from-a-chroot",
    "make-a-device",
    "read-the-kernel-log",
    "change-a-device-of-the-host",
    "set-the-times-of-a-device-of-the-host",
    "write-to-sys",
    "write-to-proc-sys",
    "write-to-a-control-group",
    "change-the-system",
    "write-to-etc",
    "write-to-the-root",
    "enter-the-namespaces-of-a-process",
    "raw-icmp",
    "raw-icmp-over-ipv6",
    "packets-of-the-link",
    "bring-up-a-tunnel",
    "enter-a-namespace",
    "hold-a-capability",
    "take-back-a-capability",
    "become-root",
    "become-another-user",
    "give-a-file-away",
    "type-into-a-terminal",
    "call-process_madvise",
    "call-mount",
    "call-umount2",
    "call-pivot_root",
    "call-chroot",
    "call-move_mount",
    "call-fsopen",
    "call-fsconfig",
    "call-fsmount",
    "call-fspick",
    "call-mount_setattr",
    "call-open_by_handle_at",
    "call-open_tree",
    "call-quotactl",
    "call-swapon",
    "call-swapoff",
    "call-sethostname",
    "call-setdomainname",
    "call-bpf",
    "call-perf_event_open",
    "call-fanotify_init",
    "call-init_module",
    "call-finit_module",
    "call-delete_module",
    "call-kexec_load",
    "call-syslog",
    "call-acct",
    "call-reboot",
    "call-settimeofday",
    "call-clock_settime",
    "call-iopl",
    "call-userfaultfd",
];

/// Attacks that need something which not every kernel or machine has. Where one of these fails without a
/// sandbox too, it proves nothing, and is printed.
const BY_MACHINE: [&str; 18] = [
    "a-virtual-machine-socket",
    "bring-up-a-tunnel",
    "resolve-the-name-of-the-host",
    "see-the-links-of-the-host",
    "trigger-a-sysrq",
    "write-to-a-control-group",
    "find-a-disk",
    "call-by-the-32-bit-entry",
    "type-into-a-terminal",
    "call-init_module",
    "call-finit_module",
    "call-delete_module",
    "call-kexec_load",
    "call-iopl",
    "call-ioperm",
    "call-modify_ldt",
    "call-io_uring_setup",
    "call-userfaultfd",
];

/// Runs a family without and with the sandbox. The number of its attacks is given, so that none is lost.
fn family(program: &str, count: usize, user: User) {
    let control = {
        let (range, trial) = (Range::new(user), Trial::new(user));
        let targets = range.targets(&trial.moorline.state_dir(), &[]);
        trial.run(&Job::new(&[program], targets).without_a_sandbox())
    };
    let has_a_chance = |name: &str| user.is_root() || !FOR_ROOT.contains(&name);
    let mut proven = control.told.clone();
    proven.retain(|name, telling| {
        let unprovable =
            !telling.succeeded && (BY_MACHINE.contains(&name.as_str()) || !has_a_chance(name));
        if unprovable {
            println!(
                "{program}: `{name}` can not succeed here at all: {}",
                telling.detail
            );
        }
        !unprovable
    });
    assert_eq!(
        control.told.len(),
        count,
        "without a sandbox, some attack told nothing: {control}"
    );
    expect(&format!("{program} without a sandbox"), &proven, |_| true);

    let (range, trial) = (Range::new(user), Trial::new(user));
    let targets = range.targets(&trial.moorline.state_dir(), &[1]);
    let inside = trial.run(&Job::new(&[program], targets));
    let held = expect(&format!("{program} in the sandbox"), &inside.told, |_| {
        false
    });
    assert_eq!(
        held, count,
        "in the sandbox, some attack told nothing: {inside}"
    );
    assert_eq!(inside.ending(), "success", "{inside}");
    range.assert_untouched();
    assert_eq!(range.hits(), 0, "a listener of the host was reached");
    assert_sandboxed(&inside);
    println!(
        "{program}: {held} attacks held, {} of them proven to succeed outside",
        proven.len()
    );
}

fn assert_sandboxed(ran: &Ran) {
    let isolation = &ran.summary["isolation"];
    assert_eq!(isolation["backend"], "bubblewrap", "{isolation:#}");
    assert_eq!(isolation["missing"], serde_json::json!([]), "{isolation:#}");
}

#[test]
fn no_file_outside_the_mounts_can_be_read_or_written() {
    family("files.py", 39, User::Own);
}

#[test]
fn no_process_of_the_host_and_not_process_1_can_be_reached() {
    family("processes.py", 20, User::Own);
}

#[test]
fn without_egress_nothing_leaves() {
    family("network.py", 21, User::Own);
}

#[test]
fn no_privilege_can_be_gained() {
    family("privileges.py", 62, User::Own);
}

#[test]
fn without_root_the_same_holds() {
    for (program, count) in [
        ("files.py", 39),
        ("processes.py", 20),
        ("network.py", 21),
        ("privileges.py", 62),
    ] {
        family(program, count, User::Nobody);
    }
}

/// Outside, the same program runs in a process namespace of its own, or it would end the machine.
#[test]
fn killing_everyone_ends_what_the_job_started_and_nothing_else() {
    let range = Range::new(User::Own);
    let trial = Trial::new(User::Own);
    let job = Job::new(
        &["everyone.py"],
        range.targets(&trial.moorline.state_dir(), &[]),
    );
    let own_namespace = [
        "unshare",
        "--user",
        "--map-root-user",
        "--pid",
        "--fork",
        "--kill-child",
    ];
    expect(
        "in a namespace of its own",
        &directly(&own_namespace, &job),
        |_| true,
    );
    let ran = trial.run(&job);
    assert_eq!(expect("in the sandbox", &ran.told, |_| true), 1, "{ran}");
    assert_eq!(ran.ending(), "success", "{ran}");
    range.assert_untouched();
}
