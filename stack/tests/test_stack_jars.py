"""The pinned jars: fetched once, checked always."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stack.errors import DownloadError
from stack.jars import cache_folder, fetch, missing, pinned

FETCHER = """
import sys
from pathlib import Path
from stack.jars import fetch

fetch(Path(sys.argv[1]), Path(sys.argv[2]))
"""
CONTENTS = {f"part-{number}": f"the jar number {number}".encode() * 1000 for number in range(6)}


class Mirror(ThreadingHTTPServer):
    """Serves the jars of CONTENTS as a Maven repository does, and counts what is asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), MirrorRequest)
        self.asked: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class MirrorRequest(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path.split("/")[-3]
        if not self.path.endswith(".jar") or name not in CONTENTS:
            self.send_error(404)
            return
        assert isinstance(self.server, Mirror)
        self.server.asked[name] += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENTS[name])))
        self.end_headers()
        self.wfile.write(CONTENTS[name])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    with Mirror() as server:
        monkeypatch.setenv("BACKLOT_MAVEN_URL", server.url)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "parts.lock"
    lines = [f"org.parts:{name}:1.0 {hashlib.sha256(content).hexdigest()}" for name, content in CONTENTS.items()]
    path.write_text("\n".join(lines))
    return path


def test_the_jars_come_in_the_order_of_the_lock_with_the_content_that_was_pinned(
    tmp_path: Path, mirror: Mirror, lock: Path
) -> None:
    paths = fetch(tmp_path / "cache", lock)

    assert [path.read_bytes() for path in paths] == list(CONTENTS.values())
    assert missing(tmp_path / "cache", lock) == []


def test_a_second_fetch_asks_for_nothing(tmp_path: Path, mirror: Mirror, lock: Path) -> None:
    fetch(tmp_path / "cache", lock)
    mirror.asked.clear()

    fetch(tmp_path / "cache", lock)

    assert not mirror.asked


def test_several_processes_at_once_fetch_every_jar_once(tmp_path: Path, mirror: Mirror, lock: Path) -> None:
    command = [sys.executable, "-c", FETCHER, str(tmp_path / "cache"), str(lock)]
    fetchers = [subprocess.Popen(command) for _ in range(3)]

    assert [fetcher.wait(60) for fetcher in fetchers] == [0, 0, 0]
    assert mirror.asked == Counter(dict.fromkeys(CONTENTS, 1))


def test_progress_is_told_from_nothing_to_all(tmp_path: Path, mirror: Mirror, lock: Path) -> None:
    heard: list[tuple[int, int]] = []

    fetch(tmp_path / "cache", lock, progress=lambda done, of: heard.append((done, of)))

    assert heard == [(done, 6) for done in range(7)]


def test_a_jar_that_is_not_what_was_pinned_is_refused_in_words_and_not_kept(
    tmp_path: Path, mirror: Mirror, lock: Path
) -> None:
    lock.write_text(lock.read_text().replace(hashlib.sha256(CONTENTS["part-3"]).hexdigest(), "0" * 64))

    with pytest.raises(DownloadError, match=r"part-3-1\.0\.jar has the wrong SHA-256: [0-9a-f]{64}, not 0{64}"):
        fetch(tmp_path / "cache", lock)

    assert not (tmp_path / "cache" / "jars" / "part-3-1.0.jar").exists()


def test_a_cached_jar_that_was_changed_since_is_refused(tmp_path: Path, mirror: Mirror, lock: Path) -> None:
    fetch(tmp_path / "cache", lock)[2].write_bytes(b"something else")

    with pytest.raises(DownloadError, match=r"part-2-1\.0\.jar has the wrong SHA-256"):
        fetch(tmp_path / "cache", lock)


def test_a_jar_that_cannot_be_had_is_named_with_what_to_do(tmp_path: Path, mirror: Mirror, lock: Path) -> None:
    lock.write_text("org.parts:nowhere:1.0 " + "0" * 64)

    with pytest.raises(DownloadError, match=r"nowhere-1\.0\.jar could not be fetched .*BACKLOT_MAVEN_URL"):
        fetch(tmp_path / "cache", lock)


def test_the_cache_is_where_the_environment_says(tmp_path: Path) -> None:
    assert cache_folder({"BACKLOT_CACHE": str(tmp_path), "XDG_CACHE_HOME": "/elsewhere"}) == tmp_path
    assert cache_folder({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "backlot"
    assert cache_folder({}) == Path.home() / ".cache" / "backlot"


def test_the_committed_lock_pins_each_file_once_and_one_version_of_kafka() -> None:
    jars = pinned()

    assert len({jar.file for jar in jars}) == len(jars) == 46
    assert {jar.version for jar in jars if jar.group == "org.apache.kafka"} == {"4.1.0"}
    assert all(len(jar.sha256) == 64 for jar in jars)
