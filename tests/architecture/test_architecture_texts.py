"""What no file may say, and what the two lock files must. The patterns are written so as not to find themselves."""

from __future__ import annotations

import re

import pytest

from tests.architecture.source import ROOT, at, is_test, texts

LOCKS = ("requirements.lock", "requirements-dev.lock")
# Where a package is fetched from is the machine's business; a clone must install wherever its own index is set up.
ADDRESSES = re.compile(
    r'https?://[^\s"\']+\.(?:whl|tgz|tar\.gz|jar|pom|crate|deb)\b'
    r"|https?://[^\s\"']*(?:pypi\.or[g]|pythonhosted\.or[g]|repo1?\.maven|registry\.npmjs)"
    r'|--(?:extra-)?index-url|"resolved":\s*"http'
)
# A path of one machine is true there alone.
MACHINE_PATHS = re.compile(r"(?:^|[^\w.])/(?:work|farm|root|home/\w+|Users/\w+)/", re.MULTILINE)
# The project speaks of itself: how its work is organised changes, and a reader has no use for it.
ORGANISATION = re.compile(
    r"\b(?:this sess[i]on|the CE[O]|subagen[t]|steering rep[o]|before-sto[p]|iss[u]e #?\d{1,2}|in your brie[f])\b"
    r"|\.librar[y]/",
    re.IGNORECASE,
)
# Started and not finished: it is finished, or it is not there.
UNFINISHED = re.compile(r"\b(?:TOD[O]|FIXM[E]|XX[X]|NotImplemente[d]Error)\b|\bassert Tru[e]\b")
# A test that does not run proves nothing, and nobody sees that it did not.
SKIPPED = re.compile(
    r"\bpytest\.mark\.(?:skip|skipif|xfail)\b|\bpytest\.(?:skip|xfail|importorskip)\(|\bunittest\.skip"
)

BROKEN = [
    (ADDRESSES, "https://example.org/a/kafka-4.1.0." + "jar"),
    (ADDRESSES, "pip install --extra" + "-index-url x"),
    (ADDRESSES, "--index" + "-url x"),
    (ADDRESSES, "see https://pypi." + "org/simple"),
    (MACHINE_PATHS, "open('/ro" + "ot/x')"),
    (MACHINE_PATHS, "PATH=/wo" + "rk/main"),
    (MACHINE_PATHS, "cd /home" + "/somebody/backlot"),
    (ORGANISATION, "as Iss" + "ue 3 asks"),
    (ORGANISATION, "done in this sess" + "ion"),
    (UNFINISHED, "# TO" + "DO: later"),
    (UNFINISHED, "raise NotImplemented" + "Error"),
    (SKIPPED, "@pytest.mark." + "skip(reason='slow')"),
]
FINE = [
    (ADDRESSES, "https://www.apache.org/licenses/LICENSE-2.0"),
    (ADDRESSES, "uv pip compile --no-emit-index-url"),
    (MACHINE_PATHS, "frameworks/work/net, s3://bucket/root/x"),
    (ORGANISATION, "an issue of the day; a session of SQLAlchemy; aiokafka issue 1017"),
    (UNFINISHED, "assert true_name"),
]


@pytest.mark.parametrize(("pattern", "text"), BROKEN)
def test_a_pattern_sees_what_it_forbids(pattern: re.Pattern[str], text: str) -> None:
    assert pattern.search(text)


@pytest.mark.parametrize(("pattern", "text"), FINE)
def test_a_pattern_lets_the_rest_pass(pattern: re.Pattern[str], text: str) -> None:
    assert not pattern.search(text)


def test_no_file_names_where_a_package_is_fetched_from() -> None:
    assert saying(ADDRESSES) == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert saying(MACHINE_PATHS) == []


def test_no_file_speaks_of_how_the_work_is_organised() -> None:
    assert saying(ORGANISATION) == []


def test_nothing_is_left_unfinished() -> None:
    assert saying(UNFINISHED, ".py", ".sh", ".ts", ".tsx", "Makefile", "Dockerfile") == []


def test_no_test_is_skipped() -> None:
    found = [
        at(path, text.count("\n", 0, hit.start()) + 1)
        for path, text in texts()
        if path.suffix == ".py" and (is_test(path) or path.name in {"conftest.py", "testing.py"})
        for hit in SKIPPED.finditer(text)
    ]
    assert found == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_each_package_to_one_version_by_its_hashes(lock: str) -> None:
    """What is installed is what was tested, whoever answers for the index."""
    entries = re.split(r"^(?=[a-z0-9])", (ROOT / lock).read_text(encoding="utf-8"), flags=re.MULTILINE | re.IGNORECASE)
    packages = [entry for entry in entries if entry.strip() and not entry.startswith((" ", "#"))]
    assert packages
    assert [entry.split()[0] for entry in packages if not re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+", entry)] == []
    assert [entry.split()[0] for entry in packages if "--hash=sha256:" not in entry] == []


def test_what_is_tested_is_what_runs() -> None:
    """The second lock holds all of the first, at the same versions."""
    running, testing = (pins(lock) for lock in LOCKS)
    assert running <= testing


def pins(lock: str) -> set[str]:
    return set(
        re.findall(r"^[\w.-]+(?:\[[\w,-]+\])?==[^\s;\\]+", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE)
    )


def saying(pattern: re.Pattern[str], *endings: str) -> list[str]:
    return [
        at(path, text.count("\n", 0, hit.start()) + 1, hit.group().strip())
        for path, text in texts()
        if not endings or path.name.endswith(endings)
        for hit in pattern.finditer(text)
    ]
