"""What the attack programs share: a table of attacks, and one line of JSON for each.

An attack is a function that takes the targets (a dict, see `tests/system/sandbox/range.rs`), and either
returns what it got hold of or raises. Each runs in a child of its own, so that one that is killed by the
kernel says so and does not take the others along.
"""

import ctypes
import json
import os
import signal
import sys
import traceback

LIBC = ctypes.CDLL(None, use_errno=True)
TIMEOUT_SECONDS = 5

ATTACKS = {}


class Failed(Exception):
    """The attack did what it could and got nothing."""


def attack(name):
    """Enters a function into the table, in the order of the file."""

    def enter(function):
        ATTACKS[name] = function
        return function

    return enter


def syscall(number, *arguments):
    """A raw system call; raises OSError where it fails. Integers are passed with 64 bits."""
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = LIBC.syscall(ctypes.c_long(number), *wide)
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def targets():
    """What to attack: a parameter of the job or, without a job, the environment."""
    if "ATTACK_TARGETS" in os.environ:
        return json.loads(os.environ["ATTACK_TARGETS"])
    with open(os.environ["MOORLINE_INPUT"], encoding="utf-8") as file:
        return json.load(file)["params"]["targets"]


def tell(name, succeeded, detail):
    """The one line of an attack."""
    line = {"attack": name, "succeeded": succeeded, "detail": str(detail)[:500]}
    print(json.dumps(line), flush=True)


def attempt(name, given):
    """Runs one attack in this process. True when it succeeded."""
    try:
        detail = ATTACKS[name](given)
    except Exception as error:  # whatever stops an attack is an answer
        last = traceback.extract_tb(error.__traceback__)[-1]
        tell(name, False, f"{type(error).__name__}: {error} (line {last.lineno})")
        return False
    tell(name, True, detail)
    return True


def in_child(name, given):
    """Runs one attack in a child, and speaks for it when it can not."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        signal.alarm(TIMEOUT_SECONDS)
        attempt(name, given)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        tell(name, False, f"ended by signal {os.WTERMSIG(status)}")


def main():
    """Runs the attacks named as arguments, or all of the file."""
    given = targets()
    for name in sys.argv[1:] or list(ATTACKS):
        in_child(name, given)
