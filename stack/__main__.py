"""``python -m stack``: the whole system in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from stack.errors import StackError
from stack.foreground import serve
from stack.system import System


def main() -> int:
    """Exit status: 0 after an orderly end, 1 when the system did not start; the reasons are on stderr."""
    parser = argparse.ArgumentParser(prog="python -m stack", description="Kafka, PostgreSQL and the five services.")
    parser.add_argument("--home", type=Path, help="state folder; default: BACKLOT_HOME, else .backlot")
    parser.add_argument("--port", type=int, help="base port, 0 for free ones; default: BACKLOT_PORT, else 8700")
    parser.add_argument("--simulator", action="store_true", help="let the simulator stand in for every provider")
    parser.add_argument("--wire", action="append", default=[], metavar="MODULE", help="one more that it speaks")
    given = parser.parse_args()
    logging.basicConfig(level=logging.CRITICAL)
    system = System(
        given.home,
        port=given.port,
        wires=given.wire if given.simulator else None,
        on_event=lambda sentence: print(sentence, flush=True),
    )
    try:
        asyncio.run(serve(system))
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
