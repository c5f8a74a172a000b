"""`backlot manifest`, over real HTTP against a gateway that is played: what it sends, saves, says, and ends with."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from backlot import Client, bring_pictures
from backlot.cli import main

JOB = "019aa0f0-0000-7000-8000-000000000001"
TREE = "channels/deep-sea/projects/whales/assets"
ASKED = ("manifest", "run", "--channel", "deep-sea", "--project", "whales")
TOLD = (*ASKED, "--topic", "whales", "--story-direction", "home")
MANIFEST = {"channel": "deep-sea", "project": "whales", "resume": True, "next_step": None}


def picture(number: int) -> bytes:
    return f"picture {number}".encode() * 1000


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Played:
    """A gateway whose one manifest has come out as `items` say. `lost`: pictures that cannot be downloaded."""

    url: str = ""
    items: list[dict[str, Any]] = field(default_factory=list)
    status: str = "completed"
    more: dict[str, Any] = field(default_factory=dict)
    settled_after: int = 0
    lost: set[int] = field(default_factory=set)
    refusals: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    submitted: list[tuple[str | None, dict[str, Any]]] = field(default_factory=list)
    listed: list[dict[str, list[str]]] = field(default_factory=list)
    downloads: list[int] = field(default_factory=list)
    looked: threading.Event = field(default_factory=threading.Event)

    def get(self, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        if path == "/api/v1/providers":
            return 200, {"items": [{"name": "sandbox", "kinds": ["image"], "enabled": True, "why_not": None}]}
        if path == f"/api/v1/jobs/{JOB}":
            self.looked.set()
            return 200, self.job()
        if path == "/api/v1/manifests":
            self.listed.append(query)
            return 200, {"items": [self.job()], "total": 7}
        if path.startswith("/api/v1/assets/asset-"):
            return 200, self.source(int(path.rpartition("-")[2]))
        if path.startswith("/bytes/"):
            number = int(path.rpartition("/")[2])
            self.downloads.append(number)
            return (404, {"detail": "gone"}) if number in self.lost else (200, picture(number))
        return 404, {"code": "NOT_FOUND", "detail": "there is no such job"}

    def post(self, key: str | None, body: Any) -> tuple[int, Any]:
        self.submitted.append((key, body))
        return self.refusals.pop(0) if self.refusals else (202, {**self.job(), "status": "queued", "items": []})

    def source(self, number: int) -> dict[str, Any]:
        return {"role": "primary", "url": f"{self.url}/bytes/{number}", "sha256": sha(picture(number))}

    def job(self) -> dict[str, Any]:
        self.settled_after -= 1
        counts = {name: sum(item["status"] == name for item in self.items) for name in ("completed", "skipped")}
        cost = {"actual": "0.04", "currency": "USD", "settled": self.settled_after < 0}
        return {
            "id": JOB,
            "status": self.status,
            "stage": "generating" if self.status == "processing" else None,
            "progress": 50 if self.status == "processing" else 100,
            "manifest": MANIFEST,
            "summary": {
                "generated": counts["completed"],
                "skipped": counts["skipped"],
                "failed": len(self.items) - sum(counts.values()),
                "total_cost_usd": cost["actual"],
            },
            "items": self.items,
            "cost": cost,
            "warnings": [],
            "error": None,
            **self.more,
        }

    def made(self, name: str, group: str = "characters", **more: Any) -> None:
        number = len(self.items) + 1
        self._add(name, group, status="completed", outputs=[self.source(number)], **more)

    def skipped(self, name: str, group: str = "characters") -> None:
        """What was there before is another job's output."""
        self._add(name, group, status="skipped")

    def failed(self, name: str, code: str, message: str) -> None:
        self._add(name, "props", status="failed", asset_id=None, error={"code": code, "message": message})

    def _add(self, name: str, group: str, **more: Any) -> None:
        number = len(self.items) + 1
        item = {"number": number, "name": name, "group": group, "path": f"{TREE}/{group}/{name}.png", "outputs": []}
        cost = {"estimated": "0.04", "actual": "0.04"}
        self.items.append({**item, "asset_id": f"asset-{number}", "cost": cost, "warnings": [], "error": None, **more})


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    played = Played()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            self._say(*played.get(address.path, parse_qs(address.query)))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            assert self.path == "/api/v1/manifests"
            self._say(*played.post(self.headers["idempotency-key"], body))

        def _say(self, status: int, body: Any) -> None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            with contextlib.suppress(ConnectionError):
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        played.url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("BACKLOT_URL", played.url)
        monkeypatch.setenv("BACKLOT_API_KEY", "bk_x")
        yield played
        server.shutdown()
        thread.join()


Types = Callable[..., tuple[int, str, str]]


@pytest.fixture
def types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Types:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["backlot", *arguments])
        status: Any = 0
        try:
            main()
        except SystemExit as ended:
            status = ended.code or 0
        return int(status), *capfd.readouterr()

    return run


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below `folder`: files with their bytes, and folders that are empty."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if path.is_file() or not any(path.iterdir())
    }


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

    assert (status, err.splitlines()[-1]) == (1, "  /items/3/name: too long")


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
    gateway._add("hare", "characters", status="processing", asset_id=None)
    gateway.status = "processing"

    status, _, err = types(*TOLD, "--timeout", "1")

    assert status == 1
    assert "manifest: processing, generating, 1 of 2 pictures" in err.splitlines()
    assert f"the job goes on; have its pictures:  backlot manifest get {JOB} --out workspace" in err.splitlines()
    assert "is still processing after 1 s" in err


@pytest.mark.timeout(60)
def test_ctrl_c_leaves_the_job_running_and_says_how_to_go_on(gateway: Played, tmp_path: Path) -> None:
    gateway._add("hare", "characters", status="processing", asset_id=None)
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


def test_a_program_has_a_manifests_pictures_in_four_lines(gateway: Played, tmp_path: Path) -> None:
    gateway.made("fox")
    gateway.skipped("forest", "environments")

    with Client(gateway.url, "bk_x") as client:
        job = client.wait(client.manifest("deep-sea", "whales", topic="whales")["id"])
        brought = bring_pictures(client, job, tmp_path)

    assert [str(file.relative_to(tmp_path)) for file in brought.files] == [item["path"] for item in job["items"]]
    assert (brought.kept, brought.problems) == (0, {})
