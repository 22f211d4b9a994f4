"""Signals every process that it may signal (kill(2) with -1). A child of its own is the witness that this
works; outside it is only ever run in a process namespace of its own.
"""

import os
import signal

from attack import Failed, attack, attempt, targets


@attack("kill-everyone")
def kill_everyone(given):
    child = os.fork()
    if child == 0:
        while True:
            signal.pause()
    os.kill(-1, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise Failed(status)
    return "the child was ended"


if __name__ == "__main__":
    attempt("kill-everyone", targets())
