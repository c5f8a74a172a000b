"""`python -m simulator --port N --folder F [--seed S] [--tls]`: a provider of everything, until SIGTERM."""

from __future__ import annotations

import argparse
from pathlib import Path

from simulator.app import application
from simulator.server import run

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m simulator", description="Speaks the wire of every provider.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--folder", type=Path, required=True, help="what it must remember")
    parser.add_argument("--seed", default="0", help="decides what is drawn by lot: latencies")
    parser.add_argument("--tls", action="store_true", help="https with a certificate of its own, in the folder")
    chosen = parser.parse_args()
    run(application(chosen.folder, seed=chosen.seed), port=chosen.port, folder=chosen.folder, tls=chosen.tls)
