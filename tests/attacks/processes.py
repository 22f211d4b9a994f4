"""Attacks on other processes: those of the host, and process 1 of the sandbox.

`targets["processes"]` are ids to try. Outside that is the victim alone.
"""

import ctypes
import os
import resource
import signal

from attack import Failed, attack, main, syscall

SYS_PTRACE, SYS_PROCESS_VM_READV, SYS_PIDFD_OPEN, SYS_PIDFD_GETFD = 101, 310, 434, 438
SYS_IOPRIO_SET, SYS_KCMP, SYS_PIDFD_SEND_SIGNAL = 251, 312, 424
PTRACE_SEIZE = 0x4206


def each(given, try_one):
    """The first process on which it works."""
    errors = []
    for pid in given["processes"]:
        try:
            return f"process {pid}: {try_one(pid)}"
        except (OSError, Failed) as error:
            errors.append(f"{pid}: {error}")
    raise Failed("; ".join(errors))


@attack("see-a-process-of-the-host")
def see(given):
    seen = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                seen.append(file.read().decode(errors="replace"))
        except OSError:
            continue
    if not any(given["marker"] in arguments for arguments in seen):
        raise Failed(f"{len(seen)} processes, none of them the victim")
    return f"one of {len(seen)}"


@attack("find-a-process-by-its-id")
def find_by_id(given):
    os.kill(given["processes"][0], 0)
    return given["processes"][0]


@attack("read-the-environment-of-a-process")
def read_environment(given):
    def read(pid):
        with open(f"/proc/{pid}/environ", "rb") as file:
            return len(file.read())

    return each(given, read)


@attack("list-the-descriptors-of-a-process")
def list_descriptors(given):
    return each(given, lambda pid: os.listdir(f"/proc/{pid}/fd"))


@attack("open-a-descriptor-of-a-process")
def open_descriptor(given):
    return each(given, lambda pid: os.close(os.open(f"/proc/{pid}/fd/0", os.O_RDONLY | os.O_NONBLOCK)))


@attack("take-a-descriptor-of-a-process")
def take_descriptor(given):
    def take(pid):
        handle = syscall(SYS_PIDFD_OPEN, pid, 0)
        return syscall(SYS_PIDFD_GETFD, handle, 0, 0)

    return each(given, take)


@attack("read-the-memory-of-a-process")
def read_memory(given):
    def read(pid):
        with open(f"/proc/{pid}/maps", encoding="utf-8") as file:
            start = int(file.readline().split("-")[0], 16)
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            memory.seek(start)
            return memory.read(4)

    return each(given, read)


@attack("read-memory-by-process-vm-readv")
def process_vm_readv(given):
    class Vector(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

    def read(pid):
        start = given["address"] if pid == given["processes"][0] else 0x400000
        buffer = ctypes.create_string_buffer(4)
        local = Vector(ctypes.addressof(buffer), 4)
        remote = Vector(start, 4)
        return syscall(SYS_PROCESS_VM_READV, pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)

    return each(given, read)


@attack("trace-a-process")
def trace(given):
    return each(given, lambda pid: syscall(SYS_PTRACE, PTRACE_SEIZE, pid, 0, 0))


@attack("trace-an-own-child")
def trace_child(given):
    # Needs no privilege, and is the way into every program that trusts its parent.
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    try:
        return syscall(SYS_PTRACE, PTRACE_SEIZE, child, 0, 0)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@attack("compare-with-a-process")
def compare(given):
    return each(given, lambda pid: syscall(SYS_KCMP, os.getpid(), pid, 1, 0, 0))


@attack("change-the-limits-of-a-process")
def change_limits(given):
    def change(pid):
        soft, hard = resource.prlimit(pid, resource.RLIMIT_STACK)
        resource.prlimit(pid, resource.RLIMIT_STACK, (soft, hard))
        return soft

    return each(given, change)


@attack("change-the-priority-of-a-process")
def change_priority(given):
    return each(given, lambda pid: os.setpriority(os.PRIO_PROCESS, pid, 1))


@attack("change-the-scheduling-of-a-process")
def change_scheduling(given):
    idle = os.sched_param(0)
    return each(given, lambda pid: os.sched_setscheduler(pid, os.SCHED_BATCH, idle))


@attack("pin-a-process-to-a-processor")
def pin(given):
    return each(given, lambda pid: os.sched_setaffinity(pid, os.sched_getaffinity(pid)))


@attack("change-the-io-priority-of-a-process")
def change_io_priority(given):
    best_effort = 2 << 13 | 7
    return each(given, lambda pid: syscall(SYS_IOPRIO_SET, 1, pid, best_effort))


@attack("offer-a-process-to-the-memory-killer")
def offer_to_killer(given):
    def offer(pid):
        with open(f"/proc/{pid}/oom_score_adj", "w", encoding="utf-8") as file:
            file.write("900")
        return "900"

    return each(given, offer)


@attack("enter-the-namespaces-of-a-process")
def enter_namespaces(given):
    SYS_SETNS = 308

    def enter(pid):
        space = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        return syscall(SYS_SETNS, space, 0)

    return each(given, enter)


@attack("signal-by-a-process-handle")
def signal_by_handle(given):
    pid = given["processes"][0]
    return syscall(SYS_PIDFD_SEND_SIGNAL, syscall(SYS_PIDFD_OPEN, pid, 0), 0, 0, 0)


@attack("kill-a-process-of-the-host")
def kill(given):
    os.kill(given["processes"][0], signal.SIGKILL)
    return given["processes"][0]


if __name__ == "__main__":
    main()
