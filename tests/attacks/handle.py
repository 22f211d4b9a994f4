"""Prints the handle of a file, as `[type, "hex digits"]`: what an attacker could also guess, as a handle of
most file systems is little more than a number.
"""

import ctypes
import json
import sys

from attack import syscall

SYS_NAME_TO_HANDLE_AT, AT_FDCWD, ROOM = 303, -100, 128


class FileHandle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("handle", ctypes.c_ubyte * ROOM)]


found = FileHandle(ROOM, 0)
mount = ctypes.c_int()
path = ctypes.c_char_p(sys.argv[1].encode())
syscall(SYS_NAME_TO_HANDLE_AT, AT_FDCWD, path, ctypes.byref(found), ctypes.byref(mount), 0)
print(json.dumps([found.type, bytes(found.handle[: found.bytes]).hex()]))
