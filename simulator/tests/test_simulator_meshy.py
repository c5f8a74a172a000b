"""Meshy under the simulator: two tasks for a text, what its lists tell, what deleting gives back, who is called."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import httpx
import pytest

from simulator.testing import Customer, RunningSimulator

TEXT, IMAGE, RETEXTURE = "v2/text-to-3d", "v1/image-to-3d", "v1/retexture"
PREVIEW = {"mode": "preview", "prompt": "A prize wheel", "should_remesh": True, "target_polycount": 5_000}
PICTURE = "data:image/png;base64," + base64.b64encode(b"a picture").decode()
CREDIT = 20_000


def asked(simulator: RunningSimulator, method: str, path: str, **more: Any) -> httpx.Response:
    headers = {"Authorization": "Bearer sim-meshy", **more.pop("headers", {})}
    return simulator.http.request(method, f"{simulator.url}/meshy/openapi/{path}", headers=headers, **more)


def created(simulator: RunningSimulator, path: str = TEXT, **body: Any) -> str:
    answer = asked(simulator, "POST", path, json=body or PREVIEW)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["result"])


def task(simulator: RunningSimulator, name: str, path: str = TEXT) -> Any:
    answer = asked(simulator, "GET", f"{path}/{name}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def refine(simulator: RunningSimulator, preview: str, **more: Any) -> str:
    return created(simulator, mode="refine", preview_task_id=preview, enable_pbr=True, **more)


def document(simulator: RunningSimulator, found: Any) -> Any:
    """The JSON of the model that a task links to; its header must be true."""
    data = simulator.http.get(found["model_urls"]["glb"]).content
    magic, version, size, length = struct.unpack_from("<4sIII", data)
    assert (magic, version, size) == (b"glTF", 2, len(data))
    return json.loads(data[20 : 20 + length])


def triangles(model: Any) -> float:
    return float(model["accessors"][3]["count"] / 3)


def slowly(simulator: RunningSimulator) -> None:
    simulator.post("clock", speed=0)
    simulator.post("settings", provider="meshy", queued_s=[10, 10], running_s=[100, 100])


def test_a_text_becomes_a_mesh_and_then_a_model_with_all_maps(simulator: RunningSimulator) -> None:
    preview = task(simulator, created(simulator))
    refined = task(simulator, refine(simulator, preview["id"]))
    mesh, model = document(simulator, preview), document(simulator, refined)
    assert [one["type"] for one in (preview, refined)] == ["text-to-3d-preview", "text-to-3d-refine"]
    assert [len(one["materials"][0]["pbrMetallicRoughness"]) for one in (mesh, model)] == [1, 2]
    assert triangles(model) == triangles(mesh) == pytest.approx(5_000, rel=0.1)
    assert list(refined["texture_urls"][0]) == ["base_color", "metallic", "normal", "roughness"]
    for address in (refined["thumbnail_url"], *refined["texture_urls"][0].values()):
        assert simulator.http.get(address).content.startswith(b"\x89PNG")


def test_each_of_the_two_tasks_is_billed_and_says_what_it_took(simulator: RunningSimulator) -> None:
    preview = created(simulator)
    refined = refine(simulator, preview)
    lines = simulator.bill()["lines"]
    assert [(line["external_id"], line["amount_micros"]) for line in lines] == [
        (preview, 20 * CREDIT),
        (refined, 10 * CREDIT),
    ]
    assert [task(simulator, name)["consumed_credits"] for name in (preview, refined)] == [20, 10]


def test_a_preview_that_is_refined_twice_was_paid_more_than_once(simulator: RunningSimulator) -> None:
    preview = created(simulator)
    refine(simulator, preview)
    assert simulator.bill()["paid_more_than_once"] == []
    refine(simulator, preview)
    [twice] = simulator.bill()["paid_more_than_once"]
    assert (twice["reference"], twice["generations"]) == (preview, 2)


def test_a_picture_becomes_a_model_in_one_task(simulator: RunningSimulator) -> None:
    name = created(simulator, IMAGE, image_url=PICTURE, enable_pbr=True, should_remesh=True, target_polycount=2_000)
    found = task(simulator, name, IMAGE)
    assert triangles(document(simulator, found)) == pytest.approx(2_000, rel=0.1)
    assert (found["consumed_credits"], len(found["texture_urls"][0])) == (30, 4)


def test_a_mesh_without_textures_costs_less_and_has_no_maps(simulator: RunningSimulator) -> None:
    found = task(simulator, created(simulator, IMAGE, image_url=PICTURE, should_texture=False), IMAGE)
    assert (found["consumed_credits"], found["texture_urls"]) == (20, [])


def test_a_model_of_a_task_or_of_bytes_is_given_new_textures(simulator: RunningSimulator) -> None:
    source = created(simulator)
    styled = created(simulator, RETEXTURE, input_task_id=source, text_style_prompt="rusty", enable_pbr=True)
    other = created(simulator, RETEXTURE, model_url=PICTURE, image_style_url="https://example.com/style.png")
    assert triangles(document(simulator, task(simulator, styled, RETEXTURE))) == pytest.approx(5_000, rel=0.1)
    assert [task(simulator, name, RETEXTURE)["consumed_credits"] for name in (styled, other)] == [10, 10]


def test_a_task_walks_from_its_start_to_its_end(simulator: RunningSimulator) -> None:
    slowly(simulator)
    name, seen = created(simulator), []
    for seconds in (0, 11, 100):
        simulator.advance(seconds)
        found = task(simulator, name)
        seen.append((found["status"], bool(found["model_urls"]), bool(found["started_at"]), bool(found["finished_at"])))
    assert seen == [
        ("PENDING", False, False, False),
        ("IN_PROGRESS", False, True, False),
        ("SUCCEEDED", True, True, True),
    ]


def test_a_preview_is_refined_only_when_it_has_succeeded(simulator: RunningSimulator) -> None:
    slowly(simulator)
    preview, body = created(simulator), {"mode": "refine"}
    early = asked(simulator, "POST", TEXT, json={**body, "preview_task_id": preview})
    nobodys = asked(simulator, "POST", TEXT, json={**body, "preview_task_id": "none"})
    assert (early.status_code, nobodys.status_code) == (400, 404)
    simulator.advance(200)
    refined = refine(simulator, preview)
    simulator.advance(200)
    assert asked(simulator, "POST", TEXT, json={**body, "preview_task_id": refined}).status_code == 400


def test_a_list_shows_the_newest_first_page_by_page_and_each_endpoint_its_own(simulator: RunningSimulator) -> None:
    made = [created(simulator, mode="preview", prompt=f"Wheel {number}") for number in range(12)]
    created(simulator, IMAGE, image_url=PICTURE)
    pages = [asked(simulator, "GET", TEXT, params={"page_num": number}).json() for number in (1, 2, 3)]
    assert [len(page) for page in pages] == [10, 2, 0]
    assert [one["id"] for page in pages for one in page] == made[::-1]
    oldest = asked(simulator, "GET", TEXT, params={"sort_by": "+created_at", "page_size": 1}).json()
    assert (oldest[0]["id"], oldest[0]["prompt"]) == (made[0], "Wheel 0")
    assert len(asked(simulator, "GET", IMAGE).json()) == 1
    assert asked(simulator, "GET", TEXT, params={"page_size": 51}).status_code == 400


def test_a_list_does_not_tell_of_which_picture_or_preview_a_task_was_made(simulator: RunningSimulator) -> None:
    refine(simulator, created(simulator), texture_prompt="gold")
    created(simulator, IMAGE, image_url=PICTURE)
    [refined, _] = asked(simulator, "GET", TEXT).json()
    [image] = asked(simulator, "GET", IMAGE).json()
    assert (refined["prompt"], refined["texture_prompt"]) == ("A prize wheel", "gold")
    assert not {"preview_task_id", "image_url"} & (refined.keys() | image.keys())


def test_deleting_gives_back_what_waits_and_stops_nothing_that_has_begun(simulator: RunningSimulator) -> None:
    slowly(simulator)
    waiting, running = created(simulator), created(simulator, mode="preview", prompt="A wheel")
    assert asked(simulator, "DELETE", f"{TEXT}/{waiting}").status_code == 200
    assert asked(simulator, "GET", f"{TEXT}/{waiting}").status_code == 404
    simulator.advance(11)
    assert asked(simulator, "DELETE", f"{TEXT}/{running}").status_code == 409
    assert simulator.bill()["amount_micros"] == 20 * CREDIT
    assert [one["id"] for one in asked(simulator, "GET", TEXT).json()] == [running]


def test_what_has_ended_is_deleted_with_its_files_and_stays_paid(simulator: RunningSimulator) -> None:
    name = created(simulator)
    assert [asked(simulator, "DELETE", f"{TEXT}/{name}").status_code for _ in range(2)] == [200, 404]
    assert asked(simulator, "POST", TEXT, json={"mode": "refine", "preview_task_id": name}).status_code == 404
    assert simulator.bill()["amount_micros"] == 20 * CREDIT


def test_a_task_is_found_by_its_own_endpoint_and_account_alone(simulator: RunningSimulator) -> None:
    accounts = [{"key": "sim-meshy", "name": "one"}, {"key": "other", "name": "two"}]
    simulator.post("accounts", provider="meshy", accounts=accounts)
    name, other = created(simulator), {"Authorization": "Bearer other"}
    assert asked(simulator, "GET", f"{IMAGE}/{name}").status_code == 404
    assert asked(simulator, "GET", f"{TEXT}/{name}", headers=other).status_code == 404
    body = {"mode": "refine", "preview_task_id": name}
    assert asked(simulator, "POST", TEXT, json=body, headers=other).status_code == 404


@pytest.mark.parametrize(
    ("tag", "kind", "code"), [("fail", "server_error", None), ("policy", "invalid_input", "moderation_blocked")]
)
def test_a_task_that_failed_says_why_and_costs_nothing(
    simulator: RunningSimulator, tag: str, kind: str, code: str | None
) -> None:
    found = task(simulator, created(simulator, mode="preview", prompt=f"A wheel [[sim:{tag}]]"))
    assert (found["status"], found["task_error"]["type"], found["task_error"].get("code")) == ("FAILED", kind, code)
    assert found["consumed_credits"] == 0
    assert simulator.bill()["lines"] == []


@pytest.mark.parametrize(
    ("tag", "status", "words"),
    [
        ("auth", 401, "Invalid API key"),
        ("quota", 402, "Insufficient funds"),
        ("429:retry_after=3", 429, "RateLimitExceeded"),
        ("http500", 500, "the provider has a problem"),
    ],
)
def test_a_refusal_is_a_status_and_one_message(simulator: RunningSimulator, tag: str, status: int, words: str) -> None:
    answer = asked(simulator, "POST", TEXT, json={"mode": "preview", "prompt": f"A wheel [[sim:{tag}]]"})
    assert (answer.status_code, answer.json()) == (status, {"message": words})
    assert answer.headers.get("retry-after") == ("3" if status == 429 else None)
    assert simulator.bill()["lines"] == []


def test_a_full_queue_is_another_429_and_says_nothing_of_time(simulator: RunningSimulator) -> None:
    slowly(simulator)
    account = {"key": "sim-meshy", "name": "small", "max_unfinished": 1}
    simulator.post("accounts", provider="meshy", accounts=[account])
    created(simulator)
    answer = asked(simulator, "POST", TEXT, json=PREVIEW)
    assert (answer.status_code, answer.json()) == (429, {"message": "NoMoreConcurrentTasks"})
    assert "retry-after" not in answer.headers
    simulator.advance(110)
    created(simulator)


def test_credits_are_counted_down_to_the_last(simulator: RunningSimulator) -> None:
    account = {"key": "sim-meshy", "name": "small", "credits_micros": 45 * CREDIT}
    simulator.post("accounts", provider="meshy", accounts=[account])
    statuses = [asked(simulator, "POST", TEXT, json=PREVIEW).status_code for _ in range(3)]
    assert statuses == [202, 202, 402]
    assert asked(simulator, "GET", "v1/balance").json() == {"balance": 5}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (TEXT, {**PREVIEW, "mode": "sculpt"}),
        (TEXT, {**PREVIEW, "prompt": " "}),
        (TEXT, {**PREVIEW, "prompt": "x" * 601}),
        (TEXT, {**PREVIEW, "target_polycount": 99}),
        (TEXT, {**PREVIEW, "target_polycount": 300_001}),
        (TEXT, {**PREVIEW, "ai_model": "meshy-7"}),
        (IMAGE, {"image_url": "http://example.com/a.png"}),
        (IMAGE, {"image_url": "data:image/png;base64,?"}),
        (IMAGE, {"image_url": PICTURE, "enable_pbr": True, "should_texture": False}),
        (RETEXTURE, {"text_style_prompt": "rusty"}),
        (RETEXTURE, {"model_url": PICTURE}),
    ],
)
def test_what_cannot_be_made_is_refused(simulator: RunningSimulator, path: str, body: dict[str, Any]) -> None:
    answer = asked(simulator, "POST", path, json=body)
    assert (answer.status_code, list(answer.json())) == (400, ["message"])


def test_links_are_dead_three_days_after_the_work(simulator: RunningSimulator) -> None:
    simulator.post("clock", speed=0)
    name = created(simulator)
    address = task(simulator, name)["model_urls"]["glb"]
    simulator.advance(3 * 86_400 - 1)
    assert simulator.http.get(address).status_code == 200
    simulator.advance(2)
    assert [simulator.http.get(url).status_code for url in (address, task(simulator, name)["model_urls"]["glb"])] == [
        403,
        403,
    ]


def test_an_accounts_webhook_hears_of_every_change_unsigned(simulator: RunningSimulator, customer: Customer) -> None:
    slowly(simulator)
    account = {"key": "sim-meshy", "name": "default", "webhook_url": customer.url("all")}
    simulator.post("accounts", provider="meshy", accounts=[account])
    name, told = created(simulator), []
    for seconds in (11, 100):
        simulator.advance(seconds)
        headers, body = customer.next()
        told.append((body["id"], body["status"]))
        assert not [header for header in headers if "sign" in header]
    assert told == [(name, "IN_PROGRESS"), (name, "SUCCEEDED")]
    assert simulator.http.get(body["model_urls"]["glb"]).status_code == 200
    assert simulator.bill()["lines"][0]["reference"] is None


def test_a_refinement_has_the_faults_of_its_words(simulator: RunningSimulator) -> None:
    preview = created(simulator, mode="preview", prompt="A wheel [[sim:corrupt:no_pbr]]")
    inherited, own = refine(simulator, preview), refine(simulator, preview, texture_prompt="gold [[sim:fail]]")
    model = document(simulator, task(simulator, inherited))
    assert "normalTexture" not in model["materials"][0]
    assert task(simulator, own)["status"] == "FAILED"


@pytest.mark.parametrize(
    ("tag", "seen"), [("status:unknown", "CONTEMPLATING"), ("status:back", "PENDING"), ("status:extra", "SUCCEEDED")]
)
def test_a_question_may_be_answered_oddly(simulator: RunningSimulator, tag: str, seen: str) -> None:
    assert task(simulator, created(simulator, mode="preview", prompt=f"A wheel [[sim:{tag}]]"))["status"] == seen


def test_of_a_part_of_the_files_the_model_is_one(simulator: RunningSimulator) -> None:
    found = task(simulator, created(simulator, IMAGE, image_url=PICTURE, texture_prompt="gold [[sim:partial]]"), IMAGE)
    assert document(simulator, found)
    assert found["texture_urls"] == []
