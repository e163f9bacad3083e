"""Let the kernel end this process, and all that it starts, when it makes a socket to the network.

A filter of system calls (seccomp, which needs no rights) sees what Python, C++ and forked children
do alike: a look-up of a host makes such a socket as a connection does. Those of one machine (UNIX,
netlink) are left alone.
"""

import ctypes
import errno
import platform
import signal
import socket
import struct

# Of linux/audit.h, and of socket(2) in the table of system calls.
_MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF_LD | BPF_W | BPF_ABS and so on
_NUMBER, _MACHINE, _FAMILY = 0, 4, 16  # places in struct seccomp_data
_ALLOW, _KILL_PROCESS = 0x7FFF0000, 0x80000000
ENDED = -signal.SIGSYS  # what subprocess says of the process


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def forbid_network():
    """Forbid it to this process; return "", or why that cannot be done here."""
    if platform.system() != "Linux" or platform.machine() not in _MACHINES:
        return f"no filter for {platform.system()} on {platform.machine()}"
    machine, number = _MACHINES[platform.machine()]
    steps = (  # (what, jump if true, jump if false, value)
        (_LOAD, 0, 0, _MACHINE),
        (_EQUAL, 0, 5, machine),
        (_LOAD, 0, 0, _NUMBER),
        (_EQUAL, 0, 3, number),
        (_LOAD, 0, 0, _FAMILY),
        (_EQUAL, 2, 0, int(socket.AF_INET)),
        (_EQUAL, 1, 0, int(socket.AF_INET6)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _KILL_PROCESS),
    )
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    program = _Program(len(steps), code)
    libc = ctypes.CDLL(None, use_errno=True)
    none = ctypes.c_ulong(0)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), none, none, none) or libc.prctl(
        _PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), ctypes.byref(program), none, none
    ):
        return f"the kernel takes no filter: {errno.errorcode[ctypes.get_errno()]}"
    return ""
