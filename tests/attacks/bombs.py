"""Attacks by amount: processes, memory, disk, log. Each is bounded, so that it is harmless outside.

One is given by name. It exits with 0 when it got all it wanted and with 1 when something stopped it.
`targets` has the amounts, each well above the limits of the step.
"""

import ctypes
import mmap
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time

from attack import ATTACKS, LIBC, Failed, attack, attempt, targets

PAGE = 4096
CHUNK = 1 << 20
STORM_SECONDS = 1.5
HOLD_SECONDS = 1.2
IPC_RMID = 0


def hold():
    """Stays for a while at the limit, as a bomb does that does not give up at the first refusal."""
    time.sleep(HOLD_SECONDS)


@attack("processes")
def processes(given):
    children = []
    try:
        for _ in range(given["processes"]):
            child = os.fork()
            if child == 0:
                signal.pause()
                os._exit(0)
            children.append(child)
    except OSError:
        hold()
        raise
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return f"{len(children)} processes at once"


@attack("threads")
def threads(given):
    enough = threading.Event()
    started = []
    threading.stack_size(256 << 10)
    try:
        for _ in range(given["processes"]):
            thread = threading.Thread(target=enough.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError:
        hold()
        raise
    finally:
        enough.set()
    return f"{len(started)} threads at once"


@attack("fork-storm")
def fork_storm(given):
    # Every process makes others for as long as it can. Tokens in a pipe bound them all together, so that
    # the storm is harmless where nothing else stops it.
    tokens, filling = os.pipe()
    born, telling = os.pipe()
    os.write(filling, b"t" * given["processes"])
    os.set_blocking(tokens, False)
    os.set_blocking(born, False)
    leader = os.fork()
    if leader == 0:
        os.setpgid(0, 0)
        storm(tokens, telling)
    alive = 0
    until = time.monotonic() + STORM_SECONDS
    while time.monotonic() < until and alive < given["processes"]:
        try:
            alive += len(os.read(born, given["processes"]))
        except BlockingIOError:
            time.sleep(0.01)
    os.killpg(leader, signal.SIGKILL)
    if alive < given["processes"]:
        raise Failed(f"{alive} processes")
    return f"{alive} processes at once"


def storm(tokens, telling):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        while os.read(tokens, 1):
            while not multiply(telling):
                time.sleep(0.001)
    except BlockingIOError:
        pass
    while True:
        signal.pause()


def multiply(telling):
    try:
        if os.fork() == 0:
            os.write(telling, b"1")
        return True
    except OSError:
        return False


def fill(memory, size):
    """Touches every page."""
    for offset in range(0, size, PAGE):
        memory[offset] = 1
    return f"{size} bytes"


@attack("heap")
def heap(given):
    held = []
    while len(held) * CHUNK < given["bytes"]:
        held.append(bytearray(b"\1") * CHUNK)
    return f"{len(held)} MiB"


@attack("private-mapping")
def private_mapping(given):
    return fill(mmap.mmap(-1, given["bytes"], flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), given["bytes"])


@attack("shared-mapping")
def shared_mapping(given):
    return fill(mmap.mmap(-1, given["bytes"], flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS), given["bytes"])


def write(descriptor, size):
    """Writes so many bytes that are not zero."""
    chunk = b"\1" * CHUNK
    for _ in range(size // CHUNK):
        if os.write(descriptor, chunk) != CHUNK:
            raise Failed("a short write")
    return f"{size} bytes"


@attack("memory-file")
def memory_file(given):
    return write(os.memfd_create("attack"), given["bytes"])


@attack("system-v-shared-memory")
def system_v(given):
    LIBC.shmget.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_int]
    LIBC.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
    LIBC.shmat.restype = ctypes.c_void_p
    segment = LIBC.shmget(0, given["bytes"], 0o600)
    if segment < 0:
        raise OSError(ctypes.get_errno(), "shmget")
    try:
        address = LIBC.shmat(segment, None, 0)
        if address in (None, ctypes.c_void_p(-1).value):
            raise OSError(ctypes.get_errno(), "shmat")
        ctypes.memset(address, 1, given["bytes"])
    finally:
        LIBC.shmctl(segment, IPC_RMID, None)
    return f"{given['bytes']} bytes"


@attack("many-processes-with-memory")
def many_processes(given):
    # Each holds less than the limit. They tell by a pipe that they hold it, and stay.
    ready, told = os.pipe()
    share = given["bytes"] // 8
    children = []
    try:
        for _ in range(8):
            child = os.fork()
            if child == 0:
                held = bytearray(b"\1") * share
                os.write(told, b"1")
                signal.pause()
                os._exit(len(held) & 1)
            children.append(child)
        os.close(told)
        for held in range(8):
            # Empty when all that are left have ended.
            if os.waitpid(-1, os.WNOHANG)[0] or os.read(ready, 1) != b"1":
                raise Failed(f"only {held} of 8 could hold {share} bytes")
        ended = [child for child in children if os.waitpid(child, os.WNOHANG)[0]]
        if ended:
            raise Failed(f"{len(ended)} of 8 were ended")
    finally:
        for child in children:
            try:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            except OSError:
                continue
    return f"8 times {share} bytes"


@attack("shared-memory-directory")
def dev_shm(given):
    path = f"/dev/shm/attack-{os.getpid()}"
    with open(path, "wb", buffering=0) as file:
        # On an error it stays there, as it would with any job that does not expect one.
        write(file.fileno(), given["bytes"])
    os.unlink(path)
    return f"{given['bytes']} bytes"


@attack("pipes-and-sockets")
def pipes(given):
    # Buffers of the kernel, which no limit of a process counts.
    held, total = [], 0
    while total < given["bytes"]:
        pair = socket.socketpair()
        pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        pair[0].setblocking(False)
        held.append(pair)
        try:
            while True:
                total += pair[0].send(b"\1" * 65536)
        except BlockingIOError:
            continue
    return f"{total} bytes in {len(held)} sockets"


def outputs(name):
    return os.path.join(os.environ["MOORLINE_OUTPUT_DIR"], name)


@attack("one-file")
def one_file(given):
    with open(outputs("big"), "wb", buffering=0) as file:
        return write(file.fileno(), given["disk_bytes"])


@attack("reserved-file")
def reserved_file(given):
    # Without a byte written, a piece at a time until there is no more.
    share = given["disk_bytes"] // 64
    for number in range(64):
        with open(outputs(f"reserved-{number}"), "wb") as file:
            os.posix_fallocate(file.fileno(), 0, share)
        pace(number)
    return f"{given['disk_bytes']} bytes"


@attack("many-files")
def many_files(given):
    size = 64 << 10
    for number in range(given["disk_bytes"] // size):
        with open(outputs(f"file-{number}"), "wb", buffering=0) as file:
            file.write(b"\1" * size)
        pace(number, every=CHUNK // size)
    return f"{number + 1} files"


@attack("empty-files")
def empty_files(given):
    for number in range(given["files"]):
        os.close(os.open(outputs(f"empty-{number}"), os.O_CREAT | os.O_WRONLY))
        pace(number, every=500)
    return f"{given['files']} files"


@attack("files-without-a-name")
def unlinked_files(given):
    held, total = [], 0
    while total < given["disk_bytes"]:
        descriptor = os.open(outputs("unlinked"), os.O_CREAT | os.O_WRONLY)
        os.unlink(outputs("unlinked"))
        held.append(descriptor)
        total += CHUNK
        write(descriptor, CHUNK)
        pace(len(held))
    time.sleep(1)
    return f"{total} bytes in {len(held)} files"


@attack("files-behind-a-closed-door")
def hidden_files(given):
    hidden = outputs("hidden")
    os.mkdir(hidden)
    inside = os.open(hidden, os.O_RDONLY | os.O_DIRECTORY)
    os.chdir(hidden)
    os.chmod(hidden, 0o300)
    total = 0
    while total < given["disk_bytes"]:
        with open(f"file-{total}", "wb", buffering=0) as file:
            write(file.fileno(), CHUNK)
        total += CHUNK
        pace(total // CHUNK)
    time.sleep(1)
    os.close(inside)
    return f"{total} bytes"


@attack("directories-in-directories")
def deep(given):
    os.chdir(os.environ["MOORLINE_OUTPUT_DIR"])
    for _ in range(400):
        os.mkdir("d")
        os.chdir("d")
    with open("big", "wb", buffering=0) as file:
        write(file.fileno(), CHUNK)
    time.sleep(1)
    return "400 directories deep"


@attack("the-temporary-directory")
def temporary(given):
    directory = tempfile.mkdtemp()
    for number in range(given["disk_bytes"] // CHUNK):
        # On an error all stays there, as it would with any job that does not expect one.
        with open(os.path.join(directory, str(number)), "wb", buffering=0) as file:
            write(file.fileno(), CHUNK)
    shutil.rmtree(directory)
    return f"{number + 1} MiB"


@attack("log-flood")
def log_flood(given):
    line = b"x" * 1023 + b"\n"
    for _ in range(given["log_bytes"] // len(line)):
        os.write(1, line)
    return f"{given['log_bytes']} bytes"


def pace(number, every=1):
    """Slower than a disk, so that what was written by the time it was stopped says something."""
    if number % every == 0:
        time.sleep(0.01)


def run():
    name = sys.argv[1]
    sys.exit(0 if name in ATTACKS and attempt(name, targets()) else 1)


if __name__ == "__main__":
    run()
