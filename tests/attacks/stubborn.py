"""A job that does not want to end: it ignores the polite signal, and leaves a daemon behind that is in no
session, process group or family of its own any more. Every process of it has the first argument, a marker,
among its own. With `leave` as the second, only the daemon stays.
"""

import os
import signal
import sys
import time


def ignore():
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)


def stay():
    while True:
        time.sleep(3600)


def daemon():
    """Double fork with a new session in between."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in range(3):
                os.dup2(os.open("/dev/null", os.O_RDWR), number)
            stay()
        os._exit(0)


# Before there is a second process, so that none of them is ever without it.
ignore()
daemon()
print("staying", flush=True)
if sys.argv[2:] != ["leave"]:
    stay()
