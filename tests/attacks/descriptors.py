"""Attacks by descriptors: using one that was left open, and forging the report of process 1 by one."""

import json
import os
import struct
import sys

from attack import Failed, attack, main


def inherited():
    """Every open descriptor that is not a standard one."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
            except OSError:
                continue  # that of the listing itself
    return found


INHERITED = inherited()


@attack("use-an-inherited-descriptor")
def use(given):
    if not INHERITED:
        raise Failed("only the three standard ones")
    return INHERITED


@attack("leave-by-a-standard-descriptor")
def standard(given):
    # A directory among them would be a way out of every mount.
    for number in range(3):
        target = os.readlink(f"/proc/self/fd/{number}")
        if target.startswith("/") and not target.startswith("/dev/null"):
            return target
    raise Failed([os.readlink(f"/proc/self/fd/{number}") for number in range(3)])


@attack("forge-the-report-of-process-1")
def forge(given):
    ended = {"ended": {"code": 0, "signal": None, "cpu_micros": 0, "peak_bytes": 0, "tasks": 0, "full": []}}
    body = json.dumps(ended).encode()
    frame = struct.pack("<I", len(body)) + body
    ways = list(INHERITED)
    for process in ("/proc/1/fd", f"/proc/{os.getppid()}/fd"):
        try:
            ways += [f"{process}/{name}" for name in os.listdir(process) if int(name) > 2]
        except OSError:
            continue
    for way in ways:
        try:
            number = way if isinstance(way, int) else os.open(way, os.O_WRONLY | os.O_NONBLOCK)
            os.write(number, frame)
            return way
        except OSError:
            continue
    raise Failed(f"{len(ways)} ways tried")


if __name__ == "__main__":
    main()
    sys.exit(7)  # which a forged report would hide
