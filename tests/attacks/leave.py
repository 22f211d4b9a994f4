"""Outputs that are more than files: links out, devices, programs with the rights of their owner.

Argument: what to leave. `targets["file"]` is the file of the host that a link leads to.
"""

import os
import socket
import stat
import sys

from attack import targets

OUTPUT = os.path.join(os.environ["MOORLINE_OUTPUT_DIR"], "result.txt")


def leave(kind, given):
    if kind == "file":
        with open(OUTPUT, "w", encoding="utf-8") as file:
            file.write("a result\n")
    elif kind == "symbolic-link":
        os.symlink(given["file"], OUTPUT)
    elif kind == "linked-directory":
        # The declared output is below a directory that is a link.
        os.symlink(os.path.dirname(given["file"]), os.path.join(os.path.dirname(OUTPUT), "sub"))
        leave("file", given)
    elif kind == "pipe":
        os.mkfifo(OUTPUT)
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(OUTPUT)
    elif kind == "set-user-id":
        leave("file", given)
        os.chmod(OUTPUT, 0o6777)
    else:
        raise SystemExit(f"no kind {kind}")
    return stat.filemode(os.lstat(os.path.dirname(OUTPUT)).st_mode)


leave(sys.argv[1], targets())
