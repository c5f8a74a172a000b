"""Where `backlot manifest` saves pictures: in their tree, whole or not at all, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from backlot import Client, bring_pictures
from tests.played_gateway import Types, typing_in
from tests.played_manifests import TOLD, TREE, Played, picture, playing, sha, tree


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    with playing(monkeypatch) as played:
        yield played


@pytest.fixture
def types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Types:
    return typing_in(tmp_path, monkeypatch, capfd)


def test_a_picture_that_lies_there_whole_is_not_fetched_again_and_a_broken_one_is(
    types: Types, gateway: Played, tmp_path: Path
) -> None:
    for name in ("whole", "broken", "linked", "new"):
        gateway.skipped(name)
    types(*TOLD)
    folder = tmp_path / "workspace" / TREE / "characters"
    (folder / "broken.png").write_bytes(picture(2)[:-1])
    (folder / "linked.png").unlink()
    (tmp_path / "elsewhere.png").write_bytes(picture(3))
    (folder / "linked.png").symlink_to(tmp_path / "elsewhere.png")
    (folder / "new.png").unlink()
    gateway.downloads.clear()

    status, out, _ = types(*TOLD, "--json")

    assert (status, json.loads(out)["kept"]) == (0, 1)
    assert gateway.downloads == [2, 3, 4]
    assert [sha((folder / f"{name}.png").read_bytes()) for name in ("whole", "broken", "linked", "new")] == [
        sha(picture(number)) for number in (1, 2, 3, 4)
    ]
    assert not (folder / "linked.png").is_symlink()


@pytest.mark.parametrize(
    "path",
    [
        None,
        "",
        "fox.png",
        "/etc/cron.d/fox",
        f"/{TREE}/characters/fox.png",
        f"{TREE}/characters/../fox.png",
        f"{TREE}/../fox.png",
        f"{TREE}/characters/..",
        f"{TREE}/characters/.",
        f"{TREE}/characters/",
        f"{TREE}//fox.png",
        f"{TREE}/characters/fox.png/more",
        f"{TREE}/characters/a\\..\\fox.png",
        f"{TREE}/characters/fox\x00.png",
        f"{TREE}/characters/\x1b[2Jfox.png",
        TREE.replace("whales", "others") + "/characters/fox.png",
        f"{TREE}/escape/fox.png",
        f"{TREE}/around/fox.png",
        f"{TREE}/characters/hare.png",
    ],
)
def test_a_path_that_does_not_belong_there_is_refused_and_keeps_no_other_picture(
    types: Types, gateway: Played, tmp_path: Path, path: str | None
) -> None:
    (tmp_path / "workspace" / TREE).mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "workspace" / TREE / "escape").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "workspace" / TREE / "around").symlink_to("around")
    gateway.made("hare")
    gateway.made("fox", path=path)
    gateway.made("badger")

    status, out, err = types(*TOLD, "--json")

    told = json.loads(out)
    assert (status, len(told["files"])) == (1, 2), err
    assert [problem["number"] for problem in told["not_saved"]] == [2]
    assert "item 2 could not be saved: " in err
    assert "\x1b" not in err
    assert gateway.downloads == [1, 3]
    files = {path.name for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()}
    assert files == {"hare.png", "badger.png"}
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_folder_that_is_a_link_itself_is_written_to(types: Types, gateway: Played, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "workspace").symlink_to(tmp_path / "disk")
    gateway.made("fox")

    assert types(*TOLD)[0] == 0
    assert list(tree(tmp_path / "disk")) == [f"{TREE}/characters/fox.png"]


def test_a_picture_that_cannot_be_had_leaves_nothing_behind_and_keeps_no_other(
    types: Types, gateway: Played, tmp_path: Path
) -> None:
    gateway.made("fox")
    gateway.made("forest", "environments")
    gateway.made("lantern", "props")
    gateway.made("map", "props")
    gateway.items[2]["outputs"][0]["url"] = None
    gateway.items[3]["outputs"][0]["sha256"] = "0" * 64
    gateway.lost = {2}

    status, out, err = types(*TOLD)

    assert (status, "files: 1 below workspace" in out) == (1, True)
    assert list(tree(tmp_path / "workspace")) == [f"{TREE}/characters/fox.png"]
    assert [line.partition(": ")[0] for line in err.splitlines()[-3:]] == [
        "item 2 could not be saved",
        "item 3 could not be saved",
        "item 4 could not be saved",
    ]
    assert "was deleted" in err


def test_a_place_that_is_taken_by_a_folder_is_told(types: Types, gateway: Played, tmp_path: Path) -> None:
    (tmp_path / "workspace" / TREE / "characters" / "fox.png" / "inside").mkdir(parents=True)
    gateway.made("fox")

    status, _, err = types(*TOLD)

    assert (status, "cannot be written: Is a directory" in err) == (1, True), err


def test_a_name_as_long_as_names_may_be_is_saved(types: Types, gateway: Played, tmp_path: Path) -> None:
    gateway.made("a" * 251)

    assert types(*TOLD)[0] == 0
    assert list(tree(tmp_path / "workspace")) == [f"{TREE}/characters/{'a' * 251}.png"]


def test_a_program_has_a_manifests_pictures_in_four_lines(gateway: Played, tmp_path: Path) -> None:
    gateway.made("fox")
    gateway.skipped("forest", "environments")

    with Client(gateway.url, "bk_x") as client:
        job = client.wait(client.manifest("deep-sea", "whales", topic="whales")["id"])
        brought = bring_pictures(client, job, tmp_path)

    assert [str(file.relative_to(tmp_path)) for file in brought.files] == [item["path"] for item in job["items"]]
    assert (brought.kept, brought.problems) == (0, {})
