"""A sandbox from its first moment to its last: output, input, exit codes, commands, names, tags, lists."""

import time

import modal
from modal.exception import (
    AlreadyExistsError,
    NotFoundError,
    SandboxTerminatedError,
    SandboxTimeoutError,
)

app = modal.App.lookup("sandboxes", create_if_missing=True)
image = modal.Image.from_registry("alpine:3.21")


def raises(kind, work):
    try:
        work()
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind.__name__}")


# Output, exit code, and both after the end.
sb = modal.Sandbox.create("sh", "-c", "echo out; echo err >&2; exit 7", app=app, image=image)
assert sb.stdout.read() == "out\n"
assert sb.stderr.read() == "err\n"
sb.wait()
assert sb.returncode == 7, sb.returncode
again = modal.Sandbox.from_id(sb.object_id)
assert again.stdout.read() == "out\n"
assert again.poll() == 7

# Input in pieces, by line, with an end.
sb = modal.Sandbox.create("cat", app=app, image=image)
assert sb.poll() is None
sb.stdin.write(b"hello\n")
sb.stdin.drain()
lines = iter(sb.stdout)
assert next(lines) == "hello\n"
sb.stdin.write(b"world\n")
sb.stdin.write_eof()
sb.stdin.drain()
assert next(lines) == "world\n"
sb.wait()
assert sb.returncode == 0

# A program that is not there fails as it does in a shell.
sb = modal.Sandbox.create("no-such-program", app=app, image=image)
sb.wait()
assert sb.returncode == 127
assert "no-such-program" in sb.stderr.read()

# Commands.
sb = modal.Sandbox.create("sleep", "600", app=app, image=image, name="first", tags={"a": "1"}, workdir="/tmp", env={"COLOUR": "red"})
p = sb.exec("sh", "-c", "echo $0 $COLOUR $SHAPE; pwd; echo oops >&2; exit 3", env={"SHAPE": "round"})
assert p.stdout.read() == "sh red round\n/tmp\n"
assert p.stderr.read() == "oops\n"
assert p.wait() == 3 and p.poll() == 3
p = sb.exec("cat", text=False)
p.stdin.write(b"\x00\xff" * 100_000)
p.stdin.write_eof()
p.stdin.drain()
assert p.stdout.read() == b"\x00\xff" * 100_000
assert p.wait() == 0
p = sb.exec("sh", "-c", "kill -9 $$")
assert p.wait() == 128 + 9
p = sb.exec("pwd", workdir="/usr")
assert p.stdout.read() == "/usr\n"
started = time.monotonic()
p = sb.exec("sleep", "30", timeout=1)
assert p.wait() != 0
assert time.monotonic() - started < 5
p = sb.exec("no-such-program")
assert p.wait() == 127
p = sb.exec("sh", "-c", "test -t 0 && test -t 1 && stty size", pty=True)
assert p.wait() == 0
many = [sb.exec("sh", "-c", f"sleep 0.2; echo {n}") for n in range(8)]
assert [p.stdout.read() for p in many] == [f"{n}\n" for n in range(8)]

# Names, tags, lists.
assert modal.Sandbox.from_name("sandboxes", "first").object_id == sb.object_id
raises(AlreadyExistsError, lambda: modal.Sandbox.create("true", app=app, image=image, name="first"))
raises(NotFoundError, lambda: modal.Sandbox.from_name("sandboxes", "second"))
assert sb.get_tags() == {"a": "1"}
sb.set_tags({"b": "2", "c": "3"})
assert sb.get_tags() == {"b": "2", "c": "3"}
other = modal.Sandbox.create("sleep", "600", app=app, image=image)
ids = [s.object_id for s in modal.Sandbox.list(app_id=app.app_id)]
assert ids == [other.object_id, sb.object_id], ids
ids = [s.object_id for s in modal.Sandbox.list(app_id=app.app_id, tags={"c": "3"})]
assert ids == [sb.object_id]
other.terminate()

# The end.
assert sb.terminate(wait=True) == 137
assert sb.poll() == 137
raises(NotFoundError, lambda: sb.exec("true"))
raises(SandboxTerminatedError, lambda: sb.wait())
raises(NotFoundError, lambda: modal.Sandbox.from_name("sandboxes", "first"))
sb = modal.Sandbox.create("true", app=app, image=image, name="first")
sb.wait()
sb = modal.Sandbox.create("sleep", "60", app=app, image=image, timeout=1)
raises(SandboxTimeoutError, lambda: sb.wait())
assert sb.returncode == 124
sb = modal.Sandbox.create("sleep", "60", app=app, image=image, idle_timeout=1)
sb.wait(raise_on_termination=False)
assert sb.returncode == 137
print("done")
