"""The tree is the diagram: every service has the same rooms, and every file a name that says what is in it."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, Service, all_files, files, is_test, parsed, services

LONGEST_MODULE = 400
ROOMS = ("__init__", "__main__", "app", "settings", "events", "http", "store", "migrations")
PAGE = ("I own", "I hear", "I say", "I never")
WITHOUT_MEANING = {"util", "utils", "helper", "helpers", "common", "misc", "manager", "managers", "base"}
CODE = {".py", ".sh", ".yml", ".yaml", ".toml", ".ts", ".tsx", ""}
START_LINES = 12

each_service = pytest.mark.parametrize("service", services(), ids=lambda service: service.folder.name)


def test_the_five_services_and_the_connector_are_there() -> None:
    """Rules over services would pass over an empty folder."""
    assert [service.package.name for service in services()] == [
        "api_gateway",
        "cost_ledger",
        "notion_connector",
        "prompt_service",
        "provider_worker",
        "storage_service",
    ]


@each_service
@pytest.mark.parametrize("room", ROOMS)
def test_a_service_has_the_same_rooms_as_the_others(service: Service, room: str) -> None:
    """Who knows one service knows all."""
    assert (service.package / f"{room}.py").is_file() or any((service.package / room).glob("*.py"))


@each_service
def test_a_service_has_tests_of_its_own(service: Service) -> None:
    assert list((service.folder / "tests").glob("test_*.py"))


@each_service
@pytest.mark.parametrize("heading", PAGE)
def test_a_service_says_on_one_page_what_it_owns(service: Service, heading: str) -> None:
    """Ownership that is not written down is taken."""
    page = (service.folder / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"^#+ {heading}\b|^\**{heading}\b", page, re.MULTILINE | re.IGNORECASE)


@each_service
def test_a_service_starts_in_a_few_lines(service: Service) -> None:
    """What is wired in `__main__` cannot be wired by a test."""
    lines = (service.package / "__main__.py").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip()]) <= START_LINES


@each_service
def test_nothing_is_built_when_a_service_is_imported(service: Service) -> None:
    """An engine, a broker or settings made at import cannot be given by a test, and read the environment too early."""
    built = re.compile(
        r"^\w+(: [\w.\[\]]+)? = (await )?(\w+\.)?(create_\w*engine|KafkaBroker|FastAPI|\w*Settings|AsyncClient)\("
    )
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in service.modules
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if built.match(line)
    ]
    assert found == []


def test_no_module_is_longer_than_four_hundred_lines() -> None:
    """A longer one wants to be two rooms."""
    found = {str(path.relative_to(ROOT)): length for path in code() if (length := line_count(path)) > LONGEST_MODULE}
    assert found == {}


def test_no_room_is_named_for_being_there() -> None:
    """`utils` is where things go that nobody placed."""
    assert [str(path.relative_to(ROOT)) for path in all_files() if without_meaning(path.relative_to(ROOT))] == []


@pytest.mark.parametrize("path", ["libs/chassis/utils.py", "bench/base_run.py", "common/x.py", "x/job-manager.ts"])
def test_a_room_named_for_being_there_is_seen(path: str) -> None:
    assert without_meaning(Path(path))


@pytest.mark.parametrize("path", ["libs/chassis/database.py", "stack/basement.py", "docs/commons.md"])
def test_a_room_with_a_name_is_let_pass(path: str) -> None:
    assert not without_meaning(Path(path))


def test_every_test_file_has_a_name_of_its_own() -> None:
    """Test folders are no packages, so that two files of one name would hide each other from the type checker."""
    names = Counter(path.name for path in files(".py") if is_test(path))
    assert [name for name, count in names.items() if count > 1] == []


def test_test_folders_are_no_packages() -> None:
    """A package named `tests` in one place would hide every other folder of that name."""
    assert [str(path.relative_to(ROOT)) for path in files("__init__.py") if is_test(path)] == []


def test_fixtures_are_shared_in_the_root_alone() -> None:
    """A conftest deeper in the tree changes tests that do not name it."""
    assert [str(path.relative_to(ROOT)) for path in files("conftest.py")] == ["conftest.py"]


def test_every_module_says_what_it_is_for() -> None:
    """The first line of a module is what the next reader has; empty ones have nothing to say."""
    silent = [
        str(path.relative_to(ROOT))
        for path in files(".py")
        if not is_test(path) and (tree := parsed(path)).body and not has_docstring(tree.body[0])
    ]
    assert silent == []


def has_docstring(first: object) -> bool:
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def code() -> list[Path]:
    """What people write; generated documents are as long as what they say."""
    return [
        path for path in all_files() if path.suffix in CODE and path.name != "LICENSE" and "generated" not in path.parts
    ]


def line_count(path: Path) -> int:
    return len(path.read_text(encoding="utf-8", errors="replace").splitlines())


def without_meaning(path: Path) -> bool:
    return any(WITHOUT_MEANING & set(re.split(r"[-_.]", part.lower())) for part in path.parts)
