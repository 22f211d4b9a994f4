"""Attacks that try to gain privilege: namespaces, capabilities, set-user-id programs, terminals, and the
system calls that a job has no use for.

The calls are made with arguments that change nothing. Outside they fail, if at all, for their arguments;
inside they shall fail as calls: with EPERM, or with ENOSYS where programs then do without.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import pty
import resource
import subprocess
import termios
import time

from attack import ATTACKS, LIBC, Failed, attack, main, syscall

CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWNS = 0x10000000, 0x40000000, 0x00020000
SIGCHLD = 17
SYS_CLONE, SYS_UNSHARE, SYS_SETNS, SYS_CLONE3, SYS_CAPSET = 56, 272, 308, 435, 126
PR_GET_NO_NEW_PRIVS = 39


@attack("a-new-user-namespace")
def unshare_user(given):
    return syscall(SYS_UNSHARE, CLONE_NEWUSER)


@attack("a-new-network-namespace")
def unshare_net(given):
    return syscall(SYS_UNSHARE, CLONE_NEWUSER | CLONE_NEWNET)


@attack("a-new-mount-namespace")
def unshare_mount(given):
    return syscall(SYS_UNSHARE, CLONE_NEWUSER | CLONE_NEWNS)


@attack("a-user-namespace-by-clone")
def clone_user(given):
    child = syscall(SYS_CLONE, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "clone"


@attack("a-user-namespace-by-clone3")
def clone3_user(given):
    class Arguments(ctypes.Structure):
        _fields_ = [(name, ctypes.c_uint64) for name in
                    ("flags", "pidfd", "child", "parent", "exit_signal", "stack", "size", "tls")]

    wanted = Arguments(flags=CLONE_NEWUSER, exit_signal=SIGCHLD)
    child = syscall(SYS_CLONE3, ctypes.byref(wanted), ctypes.sizeof(wanted))
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "clone3"


@attack("enter-a-namespace")
def setns(given):
    space = os.open("/proc/self/ns/uts", os.O_RDONLY)
    return syscall(SYS_SETNS, space, 0)


@attack("hold-a-capability")
def capability(given):
    with open("/proc/self/status", encoding="utf-8") as file:
        held = {line.split(":")[0]: int(line.split()[1], 16) for line in file if line.startswith("Cap")}
    if not any(held[name] for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")):
        raise Failed(held)
    return held


@attack("take-back-a-capability")
def take_capability(given):
    # The header of version 3 and all capabilities in all three sets.
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    chown = 1
    wanted = (ctypes.c_uint32 * 6)(chown, chown, chown, 0, 0, 0)
    return syscall(SYS_CAPSET, ctypes.byref(header), ctypes.byref(wanted))


@attack("gain-by-executing")
def new_privileges(given):
    if LIBC.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1:
        raise Failed("no new privileges")
    return "executing may give privileges"


@attack("run-a-set-user-id-program")
def set_user_id(given):
    # It asks for a password, so there is time to see as whom it runs. As root there would be nothing to
    # gain, so outside that is given up first.
    def give_up():
        if os.getuid() == 0:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)

    command = ["/usr/bin/su", "-c", "true", "root"]
    program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, preexec_fn=give_up)
    seen = set()
    until = time.monotonic() + 1
    while program.poll() is None and time.monotonic() < until and 0 not in seen:
        with open(f"/proc/{program.pid}/status", encoding="utf-8") as file:
            seen |= {int(line.split()[2]) for line in file if line.startswith("Uid:")}
    program.kill()
    program.wait()
    if 0 not in seen:
        raise Failed(f"ran as {seen}, ended with {program.returncode}")
    return "ran as root"


@attack("become-root")
def become_root(given):
    os.setresuid(0, 0, 0)
    return os.getresuid()


@attack("become-another-user")
def become_other(given):
    os.setgroups([])
    os.setresuid(65534, 65534, 65534)
    return os.getresuid()


@attack("give-a-file-away")
def give_away(given):
    path = os.path.join(os.environ["MOORLINE_OUTPUT_DIR"], "given-away")
    with open(path, "w", encoding="utf-8"):
        pass
    try:
        os.chown(path, 65534, 65534)
    finally:
        os.unlink(path)
    return path


@attack("raise-a-limit")
def raise_limit(given):
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard == resource.RLIM_INFINITY:
        return "not bounded"
    resource.setrlimit(resource.RLIMIT_CORE, (hard + 1, hard + 1))
    return hard + 1


@attack("type-into-a-terminal")
def terminal(given):
    shell, job = pty.openpty()
    child = os.fork()
    if child == 0:
        os.setsid()
        fcntl.ioctl(job, termios.TIOCSCTTY, 0)
        for letter in b"id\n":
            fcntl.ioctl(job, termios.TIOCSTI, bytes([letter]))
        typed = os.read(job, 10)
        os._exit(0 if typed == b"id\n" else 1)
    _, status = os.waitpid(child, 0)
    os.close(shell)
    if status != 0:
        raise Failed(f"status {status}")
    return "typed a command"


@attack("type-into-standard-input")
def standard_input(given):
    # There is no terminal; but the refusal shall be that of the call and not of the file.
    try:
        fcntl.ioctl(0, termios.TIOCSTI, b"x")
    except OSError as error:
        if error.errno == errno.ENOTTY:
            return "only the missing terminal stopped it"
        raise
    return "typed"


@attack("call-by-the-32-bit-entry")
def thirty_two_bits(given):
    # mov eax, 20 (getpid); int 0x80; ret
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
    call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    if call() != os.getpid():
        raise Failed("the entry is not there")
    return "getpid"


BAD = -1
# Name, number on x86-64, arguments. `BAD` is no address, no descriptor and no process.
CALLS = [
    ("ptrace", 101, (16, 0x7FFFFFF0, 0, 0)),
    ("process_vm_readv", 310, (0x7FFFFFF0, 0, 0, 0, 0, 0)),
    ("process_vm_writev", 311, (0x7FFFFFF0, 0, 0, 0, 0, 0)),
    ("process_madvise", 440, (BAD, 0, 0, 0, 0)),
    ("pidfd_getfd", 438, (BAD, 0, 0)),
    ("kcmp", 312, (0x7FFFFFF0, 0x7FFFFFF0, 0, 0, 0)),
    ("migrate_pages", 256, (0x7FFFFFF0, 0, 0, 0)),
    ("move_pages", 279, (0x7FFFFFF0, 0, 0, 0, 0, 0)),
    ("mount", 165, (BAD, BAD, BAD, 0, 0)),
    ("umount2", 166, (BAD, 0)),
    ("pivot_root", 155, (BAD, BAD)),
    ("chroot", 161, (BAD,)),
    ("open_tree", 428, (BAD, BAD, 0)),
    ("move_mount", 429, (BAD, BAD, BAD, BAD, 0)),
    ("fsopen", 430, (BAD, 0)),
    ("fsconfig", 431, (BAD, 0, 0, 0, 0)),
    ("fsmount", 432, (BAD, 0, 0)),
    ("fspick", 433, (BAD, BAD, 0)),
    ("mount_setattr", 442, (BAD, BAD, 0, BAD, 32)),
    ("open_by_handle_at", 304, (BAD, BAD, 0)),
    ("quotactl", 179, (0, BAD, 0, 0)),
    ("swapon", 167, (BAD, 0)),
    ("swapoff", 168, (BAD,)),
    ("sethostname", 170, (BAD, 4)),
    ("setdomainname", 171, (BAD, 4)),
    ("add_key", 248, (BAD, 0, 0, 0, 0)),
    ("request_key", 249, (BAD, 0, 0, 0)),
    ("keyctl", 250, (0, 0, 0, 0, 0)),
    ("bpf", 321, (0, 0, 0)),
    ("perf_event_open", 298, (BAD, 0, 0, 0, 0)),
    ("fanotify_init", 300, (BAD, 0)),
    ("init_module", 175, (BAD, 0, BAD)),
    ("finit_module", 313, (BAD, BAD, 0)),
    ("delete_module", 176, (BAD, 0)),
    ("kexec_load", 246, (0, 17, BAD, 0)),
    ("syslog", 103, (10, 0, 0)),
    ("acct", 163, (BAD,)),
    ("reboot", 169, (0, 0, 0, 0)),
    ("settimeofday", 164, (BAD, 0)),
    ("clock_settime", 227, (BAD, BAD)),
    ("iopl", 172, (4,)),
    ("ioperm", 173, (0, 0, 0)),
    ("modify_ldt", 154, (0, 0, 0)),
    ("io_uring_setup", 425, (1, BAD)),
    ("userfaultfd", 323, (BAD,)),
]


def refused_call(number, arguments):
    """An attack that succeeds when the kernel looks at the arguments of a call."""

    def call(given):
        try:
            result = syscall(number, *arguments)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.ENOSYS):
                raise
            return f"looked at: {error}"
        return result

    return call


for _name, _number, _arguments in CALLS:
    ATTACKS[f"call-{_name}"] = refused_call(_number, _arguments)


if __name__ == "__main__":
    main()
