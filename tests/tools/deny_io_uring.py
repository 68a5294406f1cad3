"""Runs a program under a seccomp filter that answers io_uring's system calls with an error, as containers do.

    deny_io_uring.py EPERM program arguments...
"""

import ctypes
import errno
import os
import struct
import sys

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LOAD, IF_AT_LEAST, IF_MORE, RETURN = 0x20, 0x35, 0x25, 0x06
ALLOW, ERROR = 0x7FFF0000, 0x00050000
# io_uring_setup, io_uring_enter, io_uring_register: the same on every architecture.
FIRST, LAST = 425, 427


def main():
    answer = getattr(errno, sys.argv[1])
    # Each: code, jump if true, jump if false, value. The number of the call comes first in what a filter sees.
    filter_ = b"".join(
        struct.pack("HBBI", *step)
        for step in [
            (LOAD, 0, 0, 0),
            (IF_AT_LEAST, 0, 2, FIRST),
            (IF_MORE, 1, 0, LAST),
            (RETURN, 0, 0, ERROR | answer),
            (RETURN, 0, 0, ALLOW),
        ]
    )
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(filter_)
    program = ctypes.create_string_buffer(struct.pack("HP", len(filter_) // 8, ctypes.addressof(code)))
    for option, value, more in [
        (PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), ctypes.c_ulong(0)),
        (PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), ctypes.byref(program)),
    ]:
        if libc.prctl(option, value, more, ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
            sys.exit("seccomp is refused: " + os.strerror(ctypes.get_errno()))
    os.execvp(sys.argv[2], sys.argv[2:])


main()
