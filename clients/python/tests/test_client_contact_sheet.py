"""The page of the examples shows and plays each of them, and nothing from elsewhere."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from backlot.contact_sheet import NAMES, write_contact_sheet
from backlot.showcase import EXAMPLES, Example
from schemas.parts import Kind

MIMES = {
    "image": ("image/png", "png"),
    "texture": ("image/png", "png"),
    "environment_map": ("image/vnd.radiance", "hdr"),
    "video": ("video/mp4", "mp4"),
    "sfx": ("audio/wav", "wav"),
    "music": ("audio/mpeg", "mp3"),
    "model_3d": ("model/gltf-binary", "glb"),
}


def example(kind: str, prompt: str = "waves") -> Example:
    mime, extension = MIMES[kind]
    return Example(
        id="1",
        kind=kind,
        prompt=prompt,
        file=f"somewhere/{kind}.{extension}",
        thumbnail=f"somewhere/{kind}_thumbnail.webp",
        mime=mime,
        about="4 s",
        flags=["length_adjusted"],
        sha256="0" * 64,
        cost="0.04",
    )


class Page(HTMLParser):
    """What a page shows: its elements by name, and its words."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def files(self, tag: str) -> list[str | None]:
        return [attributes.get("src") for name, attributes in self.elements if name == tag]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.html"


def test_there_is_an_example_of_every_kind_and_a_name_for_it() -> None:
    assert set(EXAMPLES) == set(NAMES) == {kind.value for kind in Kind}


def test_every_kind_is_shown_or_played_from_beside_the_page(path: Path) -> None:
    write_contact_sheet([example(kind) for kind in EXAMPLES], path)
    page = Page(path)
    assert page.files("video") == ["video.mp4"]
    assert page.files("audio") == ["sfx.wav", "music.mp3"]
    assert set(page.files("img")) == {f"{kind}_thumbnail.webp" for kind in EXAMPLES if kind not in {"texture", "video"}}
    links = [attributes["href"] for name, attributes in page.elements if name == "a"]
    assert links == [f"{kind}.{MIMES[kind][1]}" for kind in EXAMPLES]
    assert all(name in page.words for name in NAMES.values())
    assert "length_adjusted" in page.words
    assert "//" not in path.read_text(encoding="utf-8"), "the page needs something from elsewhere"


def test_words_of_a_prompt_are_shown_and_never_run(path: Path) -> None:
    prompt = "<script>alert('x')</script> \"on air\" & more"
    write_contact_sheet([example(kind, prompt) for kind in EXAMPLES], path)
    page = Page(path)
    assert "script" not in {name for name, _ in page.elements}
    assert page.words.count(prompt) == len(EXAMPLES)
    assert {attributes["alt"] for name, attributes in page.elements if name == "img"} == {prompt, "Its waveform"}
