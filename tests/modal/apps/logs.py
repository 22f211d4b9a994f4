"""What functions write: followed while it comes, looked up by its source, time and text."""

import atexit
import contextlib
import datetime
import io
import subprocess
import sys
import threading

import modal
from modal.cli.entry_point import entrypoint_cli

app = modal.App("talker", include_source=False)


@app.function(serialized=True, name="talk", max_containers=1)
def talk(lines, wait=0.0):
    import sys
    import time

    for n in range(lines):
        print(f"line {n:03} ü", flush=True)
        time.sleep(wait)
    print("to the other side", file=sys.stderr, flush=True)
    print("no end of line", end="", flush=True)


@app.function(serialized=True, name="whisper")
def whisper():
    print("psst")


app.deploy()


def tool(*args):
    """Runs the command line tool in this process, as its `main` does: a process each costs a second."""
    with contextlib.redirect_stdout(io.StringIO()) as out, modal.enable_output():
        entrypoint_cli(["app", "logs", *args], standalone_mode=False)
    return out.getvalue()


# Followed from another program, which ends by itself when the app stops.
follower = subprocess.Popen(
    [sys.executable, "-m", "modal", "app", "logs", "-f", "talker"],
    stdout=subprocess.PIPE,
    text=True,
)
followed = []
first = threading.Event()


def follow():
    for line in follower.stdout:
        followed.append(line.rstrip("\n"))
        first.set()


atexit.register(follower.kill)
reader = threading.Thread(target=follow, daemon=True)
reader.start()

begin = datetime.datetime.now(datetime.timezone.utc)
call = talk.spawn(40, 0.01)
assert first.wait(30), "nothing came while the function ran"
call.get()
whisper.remote()

lines = [f"line {n:03} ü\n" for n in range(40)]
out = tool("talker", "--source", "stdout", "--function", talk.object_id)
assert out == "".join(lines) + "no end of line\n", out
assert tool("talker", "--source", "stderr") == "to the other side\n"
assert tool("talker", "--function", whisper.object_id) == "psst\n"
assert tool("talker", "--search", "line 01") == "".join(lines[10:20])
assert tool("talker", "--tail", "1", "--function", whisper.object_id) == "psst\n"
assert tool("talker", "--function-call", call.object_id, "--tail", "3", "--source", "stdout") == (
    "".join(lines[38:]) + "no end of line\n"
)
assert tool("talker", "--since", "1h", "--function", talk.object_id, "--search", "line 039") == lines[39]
prefixed = tool("talker", "--tail", "1", "--function", whisper.object_id, "--show-function-id")
assert prefixed == f"{whisper.object_id} psst\n", prefixed

# The same through the SDK.
fetched = list(talk.logs.fetch(since=begin, source="stdout"))
assert [entry.message for entry in fetched] == [*lines, "no end of line"], fetched
assert all(entry.timestamp >= begin for entry in fetched)
streamed = [entry.message for entry in call.logs.stream()]
assert sorted(streamed) == sorted([*lines, "to the other side\n", "no end of line"]), streamed
entrypoint_cli(["app", "stop", "talker", "--yes"], standalone_mode=False)
assert follower.wait(20) == 0
reader.join()
followed = [line for line in followed if line]
assert [line + "\n" for line in followed if line.startswith("line")] == lines, followed
assert "to the other side" in followed and followed[-1].endswith("psst"), followed
# What a build of an image wrote has a log of its own.
assert followed[0] == lines[0].rstrip("\n"), followed
