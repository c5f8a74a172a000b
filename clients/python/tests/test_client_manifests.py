"""`backlot manifest`, over real HTTP against a gateway that is played: what it sends, says, and ends with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.played_gateway import Types, typing_in
from tests.played_manifests import ASKED, JOB, MANIFEST, TOLD, TREE, Played, picture, playing, tree


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    with playing(monkeypatch) as played:
        yield played


@pytest.fixture
def types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Types:
    return typing_in(tmp_path, monkeypatch, capfd)


def test_a_manifest_leaves_its_pictures_in_their_tree_and_says_what_came_of_it(
    types: Types, gateway: Played, tmp_path: Path
) -> None:
    gateway.made("old_whale")
    gateway.skipped("ice_field", "environments")
    gateway.made("lantern", "props")

    status, out, err = types(*TOLD, "--out", "workspace/")

    assert status == 0, err
    assert out.splitlines() == [
        "generated: 2",
        "skipped: 1",
        "failed: 0",
        "total_cost_usd: 0.04",
        "files: 3 below workspace",
    ]
    assert tree(tmp_path / "workspace") == {
        f"{TREE}/characters/old_whale.png": picture(1),
        f"{TREE}/environments/ice_field.png": picture(2),
        f"{TREE}/props/lantern.png": picture(3),
    }


def test_what_is_typed_is_what_is_asked_for(types: Types, gateway: Played, tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("group,name,prompt\nprops,lantern,a lantern\n")
    gateway.made("lantern", "props")
    status, _, err = types(
        *(*TOLD, "--atmosphere", "cold", "--items", "items.csv", "--brand-kit", "k1", "--style-capsule", "c1"),
        *("--provider", "sandbox", "--max-cost", "1.50", "--no-resume", "--next-step", "generate_videos"),
        *("--label", "scene=12", "--label", "note=a=b", "--size", "640x360"),
    )

    assert status == 0, err
    [(key, body)] = gateway.submitted
    assert key
    assert body == {
        "channel": "deep-sea",
        "project": "whales",
        "topic": "whales",
        "story_direction": "home",
        "atmosphere": "cold",
        "items": [{"group": "props", "name": "lantern", "prompt": "a lantern"}],
        "brand_kit_id": "k1",
        "style_capsule_id": "c1",
        "route": {"providers": ["sandbox"], "fallback": True},
        "max_cost": "1.50",
        "resume": False,
        "next_step": "generate_videos",
        "labels": {"scene": "12", "note": "a=b"},
        "width": 640,
        "height": 360,
    }


def test_what_is_left_out_is_left_to_the_gateway_and_each_run_has_one_key(types: Types, gateway: Played) -> None:
    gateway.refusals = [(503, {"code": "UNAVAILABLE"})]
    gateway.made("fox")
    types(*ASKED, "--topic", "")
    types(*ASKED, "--topic", "")

    keys = [key for key, _ in gateway.submitted]
    assert keys[0] == keys[1] != keys[2]
    assert gateway.submitted[0][1] == {"channel": "deep-sea", "project": "whales", "topic": "", "resume": True}


def test_a_partial_manifest_ends_with_one_and_says_why_of_each_picture(
    types: Types, gateway: Played, tmp_path: Path
) -> None:
    gateway.made("fox", warnings=["the name was cut to 200 characters"])
    gateway.failed("lantern", "CONTENT_POLICY", "the prompt was refused")
    gateway.failed("map", "INVALID_REQUEST", "it has no prompt")
    gateway.status, gateway.more = "partial", {"warnings": ["the topic is empty"]}

    status, out, err = types(*TOLD)

    assert status == 1
    assert out.splitlines()[:4] == ["generated: 1", "skipped: 0", "failed: 2", "total_cost_usd: 0.04"]
    assert err.splitlines()[-4:] == [
        "warning: the topic is empty",
        "warning: characters/fox: the name was cut to 200 characters",
        "failed: props/lantern: CONTENT_POLICY: the prompt was refused",
        "failed: props/map: INVALID_REQUEST: it has no prompt",
    ]
    assert list(tree(tmp_path / "workspace")) == [f"{TREE}/characters/fox.png"]


def test_a_manifest_that_failed_before_it_had_items_says_why(types: Types, gateway: Played, tmp_path: Path) -> None:
    gateway.status, gateway.more = "failed", {"error": {"code": "INVALID_REQUEST", "message": "there is no such kit"}}

    status, _, err = types(*TOLD)

    assert (status, err.splitlines()[-1]) == (1, "the job is failed: INVALID_REQUEST there is no such kit")
    assert tree(tmp_path / "workspace") == {}


def test_machines_get_one_object(types: Types, gateway: Played) -> None:
    gateway.made("fox")
    gateway.failed("lantern", "TIMEOUT", "too slow")
    gateway.status, gateway.more = "partial", {"manifest": {**MANIFEST, "next_step": "generate_videos"}}

    status, out, _ = types(*TOLD, "--json")

    assert status == 1
    assert json.loads(out) == {
        "id": JOB,
        "status": "partial",
        "channel": "deep-sea",
        "project": "whales",
        "resume": True,
        "next_step": "generate_videos",
        "generated": 1,
        "skipped": 0,
        "failed": 1,
        "total_cost_usd": "0.04",
        "settled": True,
        "files": [f"workspace/{TREE}/characters/fox.png"],
        "kept": 0,
        "warnings": [],
        "failures": [
            {
                "number": 2,
                "name": "lantern",
                "group": "props",
                "error": {"code": "TIMEOUT", "message": "too slow"},
            }
        ],
        "not_saved": [],
    }
    assert types(*TOLD)[1].splitlines()[-1] == "next step: generate_videos"


def test_the_cost_is_said_when_the_last_bill_is_there(types: Types, gateway: Played) -> None:
    gateway.made("fox")
    gateway.settled_after = 3

    status, out, err = types(*TOLD, "--json")

    assert (status, json.loads(out)["settled"], "not final" in err) == (0, True, False)


def test_another_manifest_of_the_project_that_runs_is_named_with_how_to_follow_it(
    types: Types, gateway: Played
) -> None:
    project = JOB.replace("1", "2")
    detail = f"the project {project!r} of the channel 'deep-sea' is being made by job {JOB}"
    gateway.refusals = [(409, {"code": "CONFLICT", "detail": detail})]

    status, out, err = types(*TOLD, "--out", "films")

    assert (status, out) == (1, "")
    assert err.splitlines()[-3:] == [
        detail,
        f"follow it:  backlot manifest get {JOB} --out films",
        f"end it:     backlot cancel {JOB}",
    ]


def test_a_refusal_is_told_in_the_gateways_words(types: Types, gateway: Played) -> None:
    wrong = {"code": "VALIDATION", "detail": "wrong", "errors": [{"pointer": "/items/3/name", "detail": "too long"}]}
    gateway.refusals = [(422, wrong)]

    status, _, err = types(*TOLD)

    assert (status, err.splitlines()[-1]) == (2, "  /items/3/name: too long")


@pytest.mark.parametrize(
    "wrong",
    [
        ["run", "--channel", "c", "--project", "p"],
        ["run", "--channel", "../c", "--project", "p", "--topic", "t"],
        ["run", "--channel", "c", "--project", "a" * 101, "--topic", "t"],
        ["run", "--channel", "c", "--project", "p\n", "--topic", "t"],
        ["run", "--channel", "c", "--topic", "t"],
        ["run", "--channel", "c", "--project", "p", "--items", "none.yaml"],
        ["run", "--channel", "c", "--project", "p", "--topic", "t", "--label", "scene"],
        ["run", "--channel", "c", "--project", "p", "--topic", "t", "--label", "a=1", "--label", "a=2"],
        ["run", "--channel", "c", "--project", "p", "--topic", "t", "--size", "big"],
        ["run", "--channel", "c", "--project", "p", "--topic", "t", "--timeout", "0"],
        ["get"],
        ["fly"],
    ],
)
def test_a_command_line_that_is_wrong_ends_with_two_before_anything_is_asked_for(
    types: Types, gateway: Played, wrong: list[str]
) -> None:
    status, out, err = types("manifest", *wrong)

    assert (status, out, "Usage" in err) == (2, "", True)
    assert gateway.submitted == []


def test_a_folder_that_cannot_be_written_to_is_told_before_anything_is_asked_for(
    types: Types, gateway: Played, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for command in (TOLD, ("manifest", "get", JOB)):
        status, _, err = types(*command, "--out", "file")
        assert (status, "nothing can be written to file" in err) == (1, True)
    assert gateway.submitted == []


def test_progress_counts_pictures(types: Types, gateway: Played) -> None:
    gateway.made("fox")
    gateway.add("hare", "characters", status="processing", asset_id=None)
    gateway.status = "processing"

    status, _, err = types(*TOLD, "--timeout", "1")

    assert status == 1
    assert "manifest: processing, generating, 1 of 2 pictures" in err.splitlines()
    assert f"the job goes on; have its pictures:  backlot manifest get {JOB} --out workspace" in err.splitlines()
    assert "is still processing after 1 s" in err


@pytest.mark.timeout(60)
def test_ctrl_c_leaves_the_job_running_and_says_how_to_go_on(gateway: Played, tmp_path: Path) -> None:
    gateway.add("hare", "characters", status="processing", asset_id=None)
    gateway.status = "processing"
    with subprocess.Popen(
        [Path(sys.executable).with_name("backlot"), *TOLD],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert gateway.looked.wait(30)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)

    assert (running.returncode, out) == (130, "")
    assert err.splitlines()[-2:] == [
        f"the job goes on; have its pictures:  backlot manifest get {JOB} --out workspace",
        "or once it has ended, with what is there kept:  backlot manifest run ... --resume",
    ]
    assert "Traceback" not in err


def test_what_was_left_running_is_fetched_later(types: Types, gateway: Played, tmp_path: Path) -> None:
    gateway.made("fox")

    status, out, _ = types("manifest", "get", JOB, "--out", "films")

    assert (status, out.splitlines()[0], gateway.submitted) == (0, "generated: 1", [])
    assert list(tree(tmp_path / "films")) == [f"{TREE}/characters/fox.png"]


def test_a_manifest_is_shown_with_its_pictures(types: Types, gateway: Played) -> None:
    gateway.made("fox")
    gateway.failed("lantern", "TIMEOUT", "too slow")

    status, out, err = types("manifest", "show", JOB)

    assert status == 0
    assert out.splitlines() == [
        f"{JOB}: deep-sea/whales, completed, 100 %, 0.04 USD",
        "item\tgroup\tname\tstatus\tcost\tpath",
        f"1\tcharacters\tfox\tcompleted\t0.04\t{TREE}/characters/fox.png",
        f"2\tprops\tlantern\tfailed\t0.04\t{TREE}/props/lantern.png",
    ]
    assert "failed: props/lantern: TIMEOUT: too slow" in err
    assert json.loads(types("manifest", "show", JOB, "--json")[1])["id"] == JOB


def test_what_is_no_manifest_is_told(types: Types, gateway: Played) -> None:
    gateway.more = {"manifest": None}
    for command in ("show", "get"):
        status, _, err = types("manifest", command, JOB)
        assert (status, f"{JOB} is no manifest" in err) == (1, True)


def test_manifests_are_listed(types: Types, gateway: Played) -> None:
    gateway.made("fox")

    status, out, _ = types("manifest", "list", "--limit", "2")

    assert status == 0
    assert gateway.listed == [{"limit": ["2"]}]
    assert out.splitlines() == [
        "job\tproject\tstatus\tprogress\tgenerated\tskipped\tfailed\tcost",
        f"{JOB}\tdeep-sea/whales\tcompleted\t100 %\t1\t0\t0\t0.04 USD",
        "1 of 7",
    ]
    assert json.loads(types("manifest", "list", "--json")[1])["total"] == 7
