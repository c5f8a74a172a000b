"""Adapters are found by name: ours, and those of users."""

from __future__ import annotations

from pathlib import Path

import pytest

from chassis.errors import StartError
from provider_worker.adapters.config import ProviderConfig
from provider_worker.adapters.registry import maker_of


def test_a_module_of_ones_own_is_an_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "painter.py").write_text("def make(config):\n    return config.name + '!'\n")
    assert maker_of("mine.painter", {})(ProviderConfig("acme")) == "acme!"  # type: ignore[comparison-overlap]


@pytest.mark.parametrize(
    ("adapter", "why"),
    [
        ("nobody", "there is no adapter nobody"),
        ("os.path", "has no function make"),
        ("../../etc/passwd", "is no adapter"),
        ("interface", "has no function make"),
    ],
)
def test_what_is_no_adapter_is_refused_in_words(adapter: str, why: str) -> None:
    with pytest.raises(StartError, match=why):
        maker_of(adapter, {})
