"""A picture for a prompt: `python scripts/generate_asset.py --prompt P --output PATH`, exit status 0 or 1.

It stands for the one that a documentary has already, and knows nothing of Backlot. This one paints a sky in colours of
the prompt; yours asks whoever makes your pictures.
"""

from __future__ import annotations

import argparse
import hashlib
import struct
import sys
import zlib
from pathlib import Path

WIDTH, HEIGHT = 640, 360


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    if not given.prompt.strip():
        sys.exit("there is nothing to paint")
    given.output.write_bytes(png(hashlib.sha256(given.prompt.encode()).digest()))


def png(seed: bytes) -> bytes:
    above, below = seed[:3], seed[3:6]
    rows = b"".join(b"\0" + bytes(mixed(above, below, row / HEIGHT)) * WIDTH for row in range(HEIGHT))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def mixed(above: bytes, below: bytes, share: float) -> list[int]:
    return [round(one * (1 - share) + other * share) for one, other in zip(above, below, strict=True)]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


if __name__ == "__main__":
    main()
