"""The jars of Apache Kafka: pinned by hash in ``kafka.lock``, fetched once into a cache that every checkout shares."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from stack.errors import DownloadError

Progress = Callable[[int, int], None]

TIMESTAMP = 315_532_800  # 1980: Java takes a class archive only for jars of the same time, whoever fetched them
LOCK = Path(__file__).with_name("kafka.lock")


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock: Maven coordinates and the hex SHA-256 of the file."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        """Its name in the cache."""
        return f"{self.artifact}-{self.version}.jar"


def pinned(lock: Path = LOCK) -> list[Jar]:
    """The jars of a lock file, in class path order."""
    jars = []
    for line in lock.read_text().splitlines():
        coordinates, sha256 = line.split()
        group, artifact, version = coordinates.split(":")
        jars.append(Jar(group, artifact, version, sha256))
    return jars


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where fetched files are kept: ``BACKLOT_CACHE``, else ``XDG_CACHE_HOME/backlot``, else ``~/.cache/backlot``."""
    if chosen := environ.get("BACKLOT_CACHE"):
        return Path(chosen).expanduser().resolve()
    parent = environ.get("XDG_CACHE_HOME")
    return (Path(parent) if parent else Path.home() / ".cache") / "backlot"


def missing(cache: Path, lock: Path = LOCK) -> list[Jar]:
    """The jars that are not in the cache yet."""
    return [jar for jar in pinned(lock) if not (cache / "jars" / jar.file).exists()]


def fetch(cache: Path, lock: Path = LOCK, *, progress: Progress = lambda done, of: None) -> list[Path]:
    """The paths of all jars, fetching those that the cache lacks (43 MB, some seconds); ``progress`` hears (done, of).

    Several processes may call it at once: one fetches, the others wait for it. Every file is checked against its
    pinned hash each time, those already there too; DownloadError says which one is wrong or could not be had.
    """
    folder = cache / "jars"
    folder.mkdir(parents=True, exist_ok=True)
    absent = missing(cache, lock)
    if absent:
        with alone_in(folder), tempfile.TemporaryDirectory(dir=folder, prefix=".incoming-") as incoming:
            _download(missing(cache, lock), Path(incoming), folder, progress)
    jars = pinned(lock)
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda jar: _verified(jar, folder / jar.file), jars))


def _download(jars: list[Jar], incoming: Path, folder: Path, progress: Progress) -> None:
    def fetch_one(jar: Jar) -> None:
        path = _verified(jar, _from_maven(jar, incoming))
        os.utime(path, (TIMESTAMP, TIMESTAMP))
        path.replace(folder / jar.file)

    progress(0, len(jars))
    with ThreadPoolExecutor(8) as pool:
        for done, _ in enumerate(pool.map(fetch_one, jars), 1):
            progress(done, len(jars))


def _from_maven(jar: Jar, incoming: Path) -> Path:
    # Only the client of jgo: its resolver picks kafka-clients 3.8 for a 4.1 broker.
    from jgo.maven import MavenContext  # noqa: PLC0415 - half a second that only a fetch should pay

    mirror = os.environ.get("BACKLOT_MAVEN_URL")
    context = MavenContext(repo_cache=incoming, remote_repos={"mirror": mirror} if mirror else None, timeout=60)
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact("")
    try:
        return Path(artifact.resolve())
    except Exception as error:  # jgo has no error type of its own for "cannot be had"
        raise DownloadError(
            f"{jar.file} could not be fetched ({type(error).__name__}: {error}). The machine needs the network once;"
            " BACKLOT_MAVEN_URL names a mirror, BACKLOT_CACHE a folder that has the files."
        ) from error


def _verified(jar: Jar, path: Path) -> Path:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != jar.sha256:
        raise DownloadError(f"{path} has the wrong SHA-256: {found}, not {jar.sha256}. Delete it and fetch it again.")
    return path


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Let one process at a time add files to a folder of the cache."""
    with (folder / ".writer.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
