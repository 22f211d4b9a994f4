"""Files of a sandbox: the file system functions, snapshots of files, directories, and at the exit."""

import json
import os
import tempfile

import modal
from modal.exception import (
    SandboxFilesystemDirectoryNotEmptyError,
    SandboxFilesystemError,
    SandboxFilesystemIsADirectoryError,
    SandboxFilesystemNotADirectoryError,
    SandboxFilesystemNotFoundError,
    SandboxFilesystemPathAlreadyExistsError,
)

app = modal.App.lookup("files", create_if_missing=True)
image = modal.Image.from_registry("alpine:3.21")


def raises(kind, work):
    try:
        work()
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind.__name__}")


def run(sb, *command):
    p = sb.exec(*command)
    out, err, code = p.stdout.read(), p.stderr.read(), p.wait()
    assert code == 0, (command, code, out, err)
    return out


sb = modal.Sandbox.create("sleep", "600", app=app, image=image)
fs = sb.filesystem

# Write and read.
fs.write_text("Hello, world!\n", "/srv/deep/er/hello.txt")
assert fs.read_text("/srv/deep/er/hello.txt") == "Hello, world!\n"
assert run(sb, "cat", "/srv/deep/er/hello.txt") == "Hello, world!\n"
big = os.urandom(3_000_000)
fs.write_bytes(big, "/srv/big.bin")
assert fs.read_bytes("/srv/big.bin") == big
with tempfile.TemporaryDirectory() as dir:
    path = os.path.join(dir, "up")
    with open(path, "wb") as file:
        file.write(big[:100_000])
    fs.copy_from_local(path, "/srv/up")
    fs.copy_to_local("/srv/up", os.path.join(dir, "down"))
    with open(os.path.join(dir, "down"), "rb") as file:
        assert file.read() == big[:100_000]

# List and stat.
run(sb, "ln", "-s", "big.bin", "/srv/link")
entries = {entry.name: entry for entry in fs.list_files("/srv")}
assert sorted(entries) == ["big.bin", "deep", "link", "up"], entries
assert entries["big.bin"].size == 3_000_000
assert [entries[name].type.value for name in ("big.bin", "deep", "link")] == ["file", "directory", "symlink"]
assert entries["link"].symlink_target == "big.bin"
info = fs.stat("/srv/big.bin")
assert (info.path, info.size) == ("/srv/big.bin", 3_000_000)

# Directories and removal.
fs.make_directory("/srv/a/b")
fs.make_directory("/srv/a/b")
raises(SandboxFilesystemPathAlreadyExistsError, lambda: fs.make_directory("/srv/a", create_parents=False))
raises(SandboxFilesystemNotFoundError, lambda: fs.make_directory("/srv/x/y", create_parents=False))
raises(SandboxFilesystemDirectoryNotEmptyError, lambda: fs.remove("/srv/a"))
fs.remove("/srv/a", recursive=True)
fs.remove("/srv/up")
raises(SandboxFilesystemNotFoundError, lambda: fs.remove("/srv/up"))
raises(SandboxFilesystemNotFoundError, lambda: fs.read_text("/srv/up"))
raises(SandboxFilesystemIsADirectoryError, lambda: fs.read_text("/srv"))
raises(SandboxFilesystemIsADirectoryError, lambda: fs.write_text("x", "/srv"))
raises(SandboxFilesystemNotADirectoryError, lambda: fs.write_text("x", "/srv/big.bin/x"))
raises(SandboxFilesystemError, lambda: fs.list_files("/srv/big.bin"))

# Watch.
run(sb, "mkdir", "/watched")
later = sb.exec("sh", "-c", "sleep 0.7; echo 1 > /watched/one")
seen = [path for event in fs.watch("/watched", timeout=3) for path in event.paths]
assert "/watched/one" in seen, seen

# A snapshot of all files.
run(sb, "sh", "-c", "echo kept > /root/kept; rm /srv/big.bin")
snapshot = sb.snapshot_filesystem()
run(sb, "sh", "-c", "echo changed > /root/kept")
copy = modal.Sandbox.create("sleep", "600", app=app, image=snapshot)
assert run(copy, "cat", "/root/kept", "/srv/deep/er/hello.txt") == "kept\nHello, world!\n"
assert [entry.name for entry in copy.filesystem.list_files("/srv")].count("big.bin") == 0
run(copy, "sh", "-c", "echo more > /root/more")
second = copy.snapshot_filesystem()
copy.terminate()
copy = modal.Sandbox.create("cat", "/root/kept", "/root/more", app=app, image=second)
assert copy.stdout.read() == "kept\nmore\n"
assert run(sb, "cat", "/root/kept") == "changed\n"

# A snapshot of a directory, shown elsewhere.
run(sb, "mkdir", "-p", "/area/in")
sb.mount_image("/area", modal.Image.from_scratch())
assert run(sb, "ls", "/area") == ""
run(sb, "sh", "-c", "mkdir /area/out && echo result > /area/out/result")
directory = sb.snapshot_directory("/area")
sb.unmount_image("/area")
assert run(sb, "ls", "/area") == "in\n"
other = modal.Sandbox.create("sleep", "600", app=app, image=image)
other.mount_image("/mnt/results", directory)
assert run(other, "cat", "/mnt/results/out/result") == "result\n"
run(other, "sh", "-c", "echo mine > /mnt/results/out/result")
other.mount_image("/mnt/again", directory)
assert run(other, "cat", "/mnt/again/out/result") == "result\n"
other.mount_image("/mnt/all", second)
assert run(other, "cat", "/mnt/all/root/more") == "more\n"
other.terminate()
sb.terminate()

# What is left at the exit.
sb = modal.Sandbox.create(
    "sh", "-c", "echo last > /root/last", app=app, image=image,
    experimental_options={"enable_exit_snapshot": True},
)
left = sb._experimental_get_exit_snapshot(timeout=20)
sb = modal.Sandbox.create("cat", "/root/last", app=app, image=left)
assert sb.stdout.read() == "last\n"

# A memory snapshot: the files, and the command from its beginning.
sb = modal.Sandbox.create(
    "sh", "-c", "cat /root/state; sleep 600", app=app, image=image, env={"COLOUR": "red"},
    _experimental_enable_snapshot=True,
)
run(sb, "sh", "-c", "echo remembered > /root/state")
memory = sb._experimental_snapshot()
sb.terminate()
sb = modal.Sandbox._experimental_from_snapshot(memory)
assert next(iter(sb.stdout)) == "remembered\n"
assert run(sb, "sh", "-c", "echo $COLOUR") == "red\n"
sb.terminate()

# A persistent sandbox: each session goes on with the files of the one before.
sb = modal.Sandbox.create("sleep", "600", app=app, image=image, timeout=None, _experimental_persistent=True)
run(sb, "sh", "-c", "echo lasting > /root/lasting")
sb._experimental_pause()
sb._experimental_resume()
assert run(sb, "cat", "/root/lasting") == "lasting\n"
sb.terminate()
print("done")
