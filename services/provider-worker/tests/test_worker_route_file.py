"""The route file: ours is right, and a wrong one says everything that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from chassis.errors import StartError
from chassis.settings import read
from provider_worker.route_file import read_routes
from provider_worker.settings import Settings
from schemas.parts import Kind

GOOD = """
version: 1
price_version: "2026-11-20"
currency: USD
providers:
  a: {adapter: sandbox, model: m}
  b: {adapter: sandbox, model: m, retries: {waits: [1, 2, 4, 8, 8]}}
routes:
  - {kind: image, use: [a, b], per_tenant: 3, timeout_s: 60}
prices:
  - {provider: a, kind: image, usd: "0.04"}
  - {provider: b, kind: image, usd: "0.053"}
"""


def faults(folder: Path, text: str) -> str:
    path = folder / "routes.yaml"
    path.write_text(text)
    with pytest.raises(StartError) as caught:
        read_routes(path)
    return "\n".join(caught.value.problems)


def test_images_come_from_the_sandbox_at_four_cents() -> None:
    routes = read_routes()
    [offer] = routes.table.routes[Kind.IMAGE].offers
    assert (offer.provider, offer.amount_micros, routes.table.currency) == ("sandbox", 40_000, "USD")
    assert routes.table.caps() == {"sandbox/image": 5}
    assert routes.table.policy("sandbox").waits == (1.0, 2.0, 4.0)


def test_prices_become_whole_micro_units_and_retries_are_per_provider(tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(GOOD)
    table = read_routes(path).table
    assert [offer.amount_micros for offer in table.routes[Kind.IMAGE].offers] == [40_000, 53_000]
    assert (table.policy("a").max_retries, table.policy("b").max_retries) == (3, 5)


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("use: [a, b]", "use: [a, stranger]").replace('"0.04"', '"0.0400001"')
    said = faults(tmp_path, text)
    assert "stranger, which is not among the providers" in said
    assert "no price for image at stranger" in said
    assert "finer than a millionth" in said


def test_an_unknown_field_is_named(tmp_path: Path) -> None:
    assert "routes.0.per_tennant" in faults(tmp_path, GOOD.replace("per_tenant", "per_tennant"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"absent\.yaml: cannot be read"):
        read_routes(tmp_path / "absent.yaml")


def test_a_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    assert "is not YAML" in faults(tmp_path, "a: [")


def test_a_broken_file_is_told_together_with_the_other_settings(tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(GOOD.replace("timeout_s: 60", "timeout_s: 0").replace("currency: USD", "currency: EUR"))
    with pytest.raises(StartError) as caught:
        read(Settings, {"PROVIDER_WORKER_ROUTES_FILE": str(path), "PROVIDER_WORKER_HANDS": "many"})
    of_routes = [problem for problem in caught.value.problems if problem.startswith("PROVIDER_WORKER_ROUTES_FILE ")]
    assert [problem.split(": ")[1:3] for problem in of_routes] == [
        ["line 4", "currency"],
        ["line 9", "routes.0.timeout_s"],
    ]
    assert any(problem.startswith("PROVIDER_WORKER_HANDS ") for problem in caught.value.problems)
