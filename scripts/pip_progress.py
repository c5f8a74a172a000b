"""Turn pip's own lines into one progress line: `pip install ... | python scripts/pip_progress.py <lock>`."""

from __future__ import annotations

import sys
from pathlib import Path

LINES_IN_A_PIPE = 5
"""How many lines a log gets; a terminal has one that is written over."""


def main() -> None:
    total = sum("==" in line for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines())
    every = 1 if sys.stdout.isatty() else max(1, total // LINES_IN_A_PIPE)
    fetched = 0
    for line in sys.stdin:
        if line.startswith("Collecting "):
            fetched += 1
            if fetched % every == 0:
                report(f"fetched {fetched} of {total}")
        elif line.startswith("Installing collected"):
            report("writing the files")
        elif line.startswith("Successfully installed"):
            report("installed", last=True)


def report(what: str, *, last: bool = False) -> None:
    if sys.stdout.isatty():
        sys.stdout.write(f"\r\033[K  {what}" + ("\n" if last else ""))
    else:
        sys.stdout.write(f"  {what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
