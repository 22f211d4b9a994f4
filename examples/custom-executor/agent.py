"""A small job agent: the back end of the example executor.

    python3 -IS agent.py serve DIRECTORY

It listens on DIRECTORY/socket. A request is one line of JSON, `[verb, arguments]`; the answer is
another: `["done", value]`, `["not found", text]`, `["still running", text]` or `["refused", text]`.
When something else goes wrong there is no answer.

Each attempt has a runner, a process of its own that outlives the agent and holds the attempt's lock
while it lives. All that is known is in files, so agents come and go: another one over the same
directory gives the same answers.

    DIRECTORY/ID/request.json   what was asked for
                 claim          made by the runner: from then on nothing starts the attempt again
                 withdrawn      no runner will claim it any more
                 lock           locked by the runner as long as it lives
                 control        a FIFO: each line is a request to cancel, with its grace in seconds
                 log            a line of JSON for each line of output
                 outcome.json   how it ended: the runner's last act
                 input.json, input/, output/
"""

import base64
import contextlib
import ctypes
import datetime
import fcntl
import json
import os
import resource
import selectors
import shutil
import signal
import socketserver
import subprocess
import sys
import time

NAME = "agent"
LIMITS = ["cpu", "memory_bytes", "disk_bytes", "pids"]
LONGEST_LINE = 1 << 20
PROTOCOL = b"::moorline "
PR_SET_CHILD_SUBREAPER = 36


class Refusal(Exception):
    """An answer other than `done`; its arguments are the kind and the text."""


def main():
    verb, directory = sys.argv[1:]
    {"serve": serve, "run": run}[verb](directory)


# The agent.


def serve(root):
    path = f"{root}/socket"
    if os.path.exists(path):
        os.unlink(path)
    with Server(path, Connection) as server:
        server.agent = Agent(root)
        print("listening", flush=True)
        server.serve_forever()


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


class Connection(socketserver.StreamRequestHandler):
    def handle(self):
        line = self.rfile.readline()
        if not line:
            return  # whoever connected has given up
        verb, arguments = json.loads(line)
        try:
            answer = ["done", self.server.agent.verbs[verb](*arguments)]
        except Refusal as refusal:
            answer = refusal.args
        try:
            self.wfile.write(json.dumps(answer).encode() + b"\n")
        except BrokenPipeError:
            pass  # whoever waited has given up


class Agent:
    """The answers to all requests, from the files of the attempts."""

    def __init__(self, root):
        self.root = root
        self.runners = []
        verbs = [self.launch, self.observe, self.wait, self.logs, self.cancel]
        verbs += [self.find_owned, self.withdraw, self.collect, self.forget]
        self.verbs = {verb.__name__: verb for verb in verbs}

    def launch(self, attempt, document, env, secrets):
        self.refuse_what_is_missing(attempt, secrets)
        directory = f"{self.root}/{attempt['id']}"
        if not os.path.exists(f"{directory}/claim"):
            os.makedirs(directory, exist_ok=True)
            write_atomically(f"{directory}/request.json", [attempt, document, env])
            command = [sys.executable, "-IS", __file__, "run", directory]
            runner = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
            )
            # It closes its output when the attempt is claimed, by itself or by another.
            with runner.stdout as output:
                output.read()
            self.runners = [runner for runner in [*self.runners, runner] if runner.poll() is None]
            if not os.path.exists(f"{directory}/claim"):
                raise Refusal("refused", "start an attempt that was withdrawn")
        return self.handle(attempt["id"])

    def withdraw(self, attempt):
        directory = f"{self.root}/{attempt['id']}"
        os.makedirs(directory, exist_ok=True)
        with gate(self.root):
            if os.path.exists(f"{directory}/claim"):
                return self.handle(attempt["id"])
            open(f"{directory}/withdrawn", "w").close()

    def refuse_what_is_missing(self, attempt, secrets):
        limits = attempt["limits"]
        for missing, text in [
            (secrets, "give secrets to a job, since it does not redact the log"),
            (attempt["isolation"] != "off", "isolate a job: ask for no isolation"),
            (any(m["source"] != m["path"] for m in attempt["mounts"]), "mount at another path"),
            (any(limits[name] for name in LIMITS), "limit cores, memory, disk or processes"),
        ]:
            if missing:
                raise Refusal("refused", text)

    def observe(self, handle):
        outcome = read_outcome(self.directory(handle))
        return {"state": "over", **outcome} if outcome else {"state": "running"}

    def wait(self, handle):
        directory = self.directory(handle)
        with open(f"{directory}/lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
        return read_outcome(directory)

    def logs(self, handle, offset, follow):
        directory = self.directory(handle)
        while True:
            # Asked before reading: what is written before the end is read before the end is told.
            is_over = read_outcome(directory)
            chunks = []
            with open(f"{directory}/log", "rb") as log:
                log.seek(offset)
                for line in log.readlines(LONGEST_LINE):
                    if line.endswith(b"\n"):
                        offset += len(line)
                        chunks.append({**json.loads(line), "next": offset})
            if chunks or is_over or not follow:
                return chunks
            time.sleep(0.02)

    def cancel(self, handle, grace):
        directory = self.directory(handle)
        if not read_outcome(directory):
            try:
                control = os.open(f"{directory}/control", os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nobody reads it any more
                return
            os.write(control, f"{seconds(grace)}\n".encode())
            os.close(control)

    def find_owned(self, owner):
        owned = []
        for name in sorted(os.listdir(self.root)):
            try:
                os.stat(f"{self.root}/{name}/claim")
                attempt, _, _ = read_json(f"{self.root}/{name}/request.json")
            except (FileNotFoundError, NotADirectoryError):
                continue  # not an attempt, not claimed, or forgotten just now
            if attempt["owner"] == owner:
                owned.append(self.handle(name))
        return owned

    def collect(self, handle):
        output = f"{self.over(handle)}/output"
        files = []
        for directory, _, names in os.walk(output):
            for local in (f"{directory}/{name}" for name in names):
                if os.path.islink(local) or not os.path.isfile(local):
                    raise Refusal("refused", f"take {local}: it is no regular file")
                path = os.path.relpath(local, output)
                files.append({"path": path, "local": local, "size": os.path.getsize(local)})
        return files

    def forget(self, handle):
        if handle["executor"] == NAME and not os.path.exists(f"{self.root}/{handle['attempt_id']}"):
            return
        directory = self.over(handle)
        os.rename(directory, f"{directory}.forgotten")
        shutil.rmtree(f"{directory}.forgotten")

    def handle(self, attempt_id):
        return {"executor": NAME, "attempt_id": attempt_id, "data": None}

    def directory(self, handle):
        directory = f"{self.root}/{handle['attempt_id']}"
        if handle["executor"] != NAME or not os.path.exists(f"{directory}/claim"):
            raise Refusal("not found", handle["attempt_id"])
        return directory

    def over(self, handle):
        directory = self.directory(handle)
        if not read_outcome(directory):
            raise Refusal("still running", handle["attempt_id"])
        return directory


# The runner.


def run(directory):
    """Runs an attempt, unless there is or was a runner for it."""
    # Whatever loses its parent below this process becomes its child.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    with gate(os.path.dirname(directory)):
        if any(os.path.exists(f"{directory}/{decided}") for decided in ("claim", "withdrawn")):
            return
        lock = open(f"{directory}/lock", "w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        runner = Runner(directory)
        open(f"{directory}/claim", "x").close()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    outcome = runner.run()
    write_atomically(f"{directory}/outcome.json", outcome)


class Runner:
    """One attempt, from its start to its outcome."""

    def __init__(self, directory):
        self.directory = directory
        self.attempt, self.document, self.env = read_json(f"{directory}/request.json")
        self.log = open(f"{directory}/log", "ab", buffering=0)
        if not os.path.exists(f"{directory}/control"):
            os.mkfifo(f"{directory}/control")
        self.control = os.open(f"{directory}/control", os.O_RDWR | os.O_NONBLOCK)
        self.partial = {"stdout": b"", "stderr": b""}
        self.kept = self.written = self.dropped = 0
        self.reply = {"reply": "none"}
        self.cause = None
        self.kill_at = None

    def run(self):
        started, began = now(), time.monotonic()
        try:
            self.job = self.start()
        except OSError as error:
            return outcome({"how": "not_started", "reason": str(error)}, None, now())
        limits = self.attempt["limits"]
        self.supervise(began + seconds(limits["timeout"]), seconds(limits["grace"]))
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        ended = outcome(self.exit(), started, now())
        ended["usage"] = {
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_memory_bytes": usage.ru_maxrss * 1024,
            "wall_seconds": time.monotonic() - began,
        }
        ended["reply"] = self.reply
        ended["log"] = {"written": self.written, "dropped": self.dropped}
        if self.dropped:
            ended["limits_hit"] = [{"kind": "log", "detail": f"{self.dropped} bytes dropped"}]
        return ended

    def start(self):
        here, bundle = self.directory, self.attempt["bundle"]
        os.makedirs(f"{here}/output")
        for given, shown in zip(input_files(self.attempt), input_files(self.document), strict=True):
            target = f"{here}/input/{given['path']}"
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(given["source"], target)
            shown["path"] = target
        write_atomically(f"{here}/input.json", self.document)
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", **self.attempt["env"], **dict(self.env)}
        env["MOORLINE_INPUT"] = f"{here}/input.json"
        env["MOORLINE_OUTPUT_DIR"] = f"{here}/output"
        env["MOORLINE_JOB_DIR"] = bundle
        return subprocess.Popen(
            [argument(word) for word in self.attempt["argv"]],
            env=env,
            cwd=os.path.join(bundle, self.attempt["working_dir"] or ""),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def supervise(self, timeout_at, grace):
        with selectors.DefaultSelector() as selector:
            for name in self.partial:
                selector.register(getattr(self.job, name), selectors.EVENT_READ, name)
            ends = os.pidfd_open(self.job.pid)
            selector.register(ends, selectors.EVENT_READ, "end")
            selector.register(self.control, selectors.EVENT_READ, "control")
            while self.job.poll() is None:
                if self.kill_at and self.kill_at <= time.monotonic():
                    break
                if not self.kill_at and timeout_at <= time.monotonic():
                    self.end("timed_out", grace)
                until = self.kill_at or timeout_at
                for key, _ in selector.select(max(0, until - time.monotonic())):
                    if key.data == "control":
                        for line in os.read(self.control, 4096).split():
                            self.end("cancelled", float(line))
                    elif key.data != "end" and not self.read(key.fileobj, key.data):
                        selector.unregister(key.fileobj)
        self.kill_tree()
        for name in self.partial:
            while self.read(getattr(self.job, name), name):
                pass

    def end(self, cause, grace):
        """Ends the job: politely, then by force. The first cause counts, and the least grace."""
        if not self.cause:
            self.cause = cause
            self.job.send_signal(signal.SIGTERM)
        kill_at = time.monotonic() + grace
        self.kill_at = min(self.kill_at or kill_at, kill_at)

    def kill_tree(self):
        """Kills all children until there are none: the children of the dead become this one's."""
        while True:
            for child in children():
                os.kill(child, signal.SIGKILL)
            try:
                pid, status = os.waitpid(-1, 0)
            except ChildProcessError:
                return
            if pid == self.job.pid:
                self.job.returncode = os.waitstatus_to_exitcode(status)

    def exit(self):
        code = self.job.returncode
        if self.cause:
            return {"how": self.cause}
        return {"how": "signaled", "signal": -code} if code < 0 else {"how": "exited", "code": code}

    def read(self, pipe, name):
        """Logs what is in a pipe. False at its end."""
        data = os.read(pipe.fileno(), 1 << 16)
        self.written += len(data)
        *lines, rest = (self.partial[name] + data).split(b"\n")
        for line in lines:
            self.log_line(name, line, True)
        if len(rest) > LONGEST_LINE or not data:
            if rest:
                self.log_line(name, rest, False)
            rest = b""
        self.partial[name] = rest
        return bool(data)

    def log_line(self, name, line, ends_line):
        if name == "stdout" and line.startswith(PROTOCOL):
            self.take_message(line.removeprefix(PROTOCOL))
        size = len(line) + ends_line
        if self.dropped or self.kept + size > self.attempt["limits"]["log_bytes"]:
            self.dropped += size
            return
        self.kept += size
        text = line.decode("utf-8", "replace")
        chunk = {"at": now(), "stream": name, "text": text, "ends_line": ends_line}
        self.log.write(json.dumps(chunk).encode() + b"\n")

    def take_message(self, line):
        try:
            message = json.loads(line)
            if message.pop("type") != "result":
                return
            if self.reply != {"reply": "none"}:
                raise ValueError("a second result")
            if message.pop("status") == "success":
                data = message.get("data", message.get("outputs"))
                count = message.get("transaction_count")
                self.reply = {"reply": "success", "transaction_count": count, "data": data}
            else:
                self.reply = {"reply": "error", "code": None, **message}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.reply = {"reply": "bad", "reason": f"a line that is not the contract: {error}"}


# What both use.


@contextlib.contextmanager
def gate(root):
    """One at a time decides whether an attempt begins."""
    with open(f"{root}/gate", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read_outcome(directory):
    """The outcome of an attempt that is over, or None."""
    with open(f"{directory}/lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            is_alive = False
        except BlockingIOError:
            is_alive = True
    try:
        return read_json(f"{directory}/outcome.json")
    except FileNotFoundError:
        claimed = iso(os.path.getmtime(f"{directory}/claim"))
        lost = {"how": "lost", "reason": "its runner ended without an outcome"}
        return None if is_alive else outcome(lost, claimed, claimed)


def outcome(exit, started_at, ended_at):
    return {
        "exit": exit,
        "limits_hit": [],
        "started_at": started_at,
        "ended_at": ended_at,
        "usage": {"cpu_seconds": 0, "peak_memory_bytes": 0, "wall_seconds": 0},
        "isolation": {"backend": "process", "protections": [], "missing": []},
        "reply": {"reply": "none"},
        "egress_denied": [],
        "log": {"written": 0, "dropped": 0},
    }


def argument(word):
    """An argument as bytes: text, or base64 of what is not UTF-8."""
    return word.encode() if isinstance(word, str) else base64.b64decode(word["base64"])


def input_files(of):
    yield from of["inputs"].values()
    for step in of["steps"].values():
        yield from step["outputs"]


def children():
    """The processes whose parent is this one."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = open(f"/proc/{name}/stat", "rb").read()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(stat.rpartition(b")")[2].split()[1]) == os.getpid():
                yield int(name)


def now():
    return iso(time.time())


def iso(timestamp):
    return datetime.datetime.fromtimestamp(timestamp, datetime.timezone.utc).isoformat()


def seconds(duration):
    return duration["secs"] + duration["nanos"] / 1e9


def write_atomically(path, value):
    part = f"{path}.{os.getpid()}.{time.monotonic_ns()}"
    with open(part, "w") as file:
        json.dump(value, file)
    os.rename(part, path)


def read_json(path):
    with open(path) as file:
        return json.load(file)


if __name__ == "__main__":
    main()
