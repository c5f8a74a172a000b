"""TCP ports of this machine."""

from __future__ import annotations

import random
import socket

from stack.errors import StackError

LOOPBACK = "127.0.0.1"
BELOW_EPHEMERAL = range(15_000, 32_000)


def free_ports(count: int) -> list[int]:
    """``count`` different ports that nobody listens on at this moment.

    Not the ones the kernel would give: a client that calls a stopped server again and again is now and then given
    the server's own port to call from, connects to itself, and the server cannot come back.
    """
    found: list[int] = []
    for port in random.sample(BELOW_EPHEMERAL, len(BELOW_EPHEMERAL)):
        if len(found) == count:
            return found
        if is_free(port):
            found.append(port)
    raise StackError(f"This machine has no {count} free ports from {BELOW_EPHEMERAL[0]} to {BELOW_EPHEMERAL[-1]}.")


def is_free(port: int) -> bool:
    """Whether a server could listen on ``port`` now; closing connections of an earlier one do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True
