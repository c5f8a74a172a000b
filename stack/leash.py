"""Runs before a server in its own process: gives up what root may do, ties its life to its owner's, becomes the server.

Called as ``python -I -S leash.py OWNER SIGNAL UID GID REACH PROGRAM [ARGUMENT...]``. It imports nothing of ours, for
it is started once per child and must cost milliseconds. The death signal is set after the change of user, which would
clear it.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Sets(ctypes.Structure):
    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _prctl(option: int, value: int = 0, argument: int = 0) -> None:
    _check(_libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(argument), 0, 0), f"prctl({option})")


def _keep_reach() -> None:
    """Let the new user pass folders that only root may enter (a checkout below /root), and keep no other power."""
    bit = 1 << CAP_DAC_OVERRIDE
    sets = (_Sets * 2)(_Sets(bit, bit, bit), _Sets(0, 0, 0))
    _check(_libc.capset(ctypes.byref(_Header(CAPABILITY_VERSION_3, 0)), ctypes.byref(sets)), "capset")
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE)


def become(uid: int, gid: int, *, reach: bool) -> None:
    """Switch to an unprivileged user for good; with ``reach`` folder permissions do not stop it."""
    if reach:
        _prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if reach:
        _keep_reach()


def main(arguments: list[str]) -> None:
    """Become PROGRAM, unless the owner is already gone."""
    owner, death_signal, uid, gid, reach = (int(value) for value in arguments[:5])
    program = arguments[5:]
    if uid != os.geteuid():
        become(uid, gid, reach=bool(reach))
    _prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != owner:  # it died before the line above, and its signal was never sent
        sys.exit(f"{program[0]}: its owner, process {owner}, is gone")
    os.execv(program[0], program)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
