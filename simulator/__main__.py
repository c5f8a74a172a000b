"""`python -m simulator --port N --folder F [--seed S] [--tls] [--wire M]`: a provider of everything, until SIGTERM.

`python -m simulator --port N [--wire M] --environment` says what a customer's environment must be, and ends.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from simulator.app import application
from simulator.environment import NoWire, environment, wires_with
from simulator.server import LOOPBACK, run

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m simulator", description="Speaks the wire of every provider.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--folder", type=Path, help="what it must remember")
    parser.add_argument("--seed", default="0", help="decides what is drawn by lot: latencies")
    parser.add_argument("--tls", action="store_true", help="https with a certificate of its own, in the folder")
    parser.add_argument("--wire", action="append", default=[], metavar="MODULE", help="a wire of your own besides")
    parser.add_argument("--environment", action="store_true", help="say what a customer's environment must be, and end")
    chosen = parser.parse_args()
    try:
        wires = wires_with(chosen.wire)
    except NoWire as error:
        parser.error(str(error))
    if chosen.environment:
        json.dump(environment(wires, f"http://{LOOPBACK}:{chosen.port}"), sys.stdout)
    elif chosen.folder is None:
        parser.error("the following arguments are required: --folder")
    else:
        made = application(chosen.folder, wires, seed=chosen.seed)
        run(made, port=chosen.port, folder=chosen.folder, tls=chosen.tls)
