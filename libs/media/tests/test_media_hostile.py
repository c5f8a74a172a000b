"""Hundreds of files that are broken, that lie or that mean harm: each is refused for its reason, and none is felt."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import psutil
import pytest
from PIL import Image

from media import MAX_BYTES, Checker, CorruptOutput, Facts, FinishedMedia, Reason, Wanted, check_media
from media.endings import without_tail
from media.formats import START, sniffed
from media.tests.hostile_files import Hostile, all_files
from media.tests.hostile_models import same_indices
from media.tests.hostile_skies import dark_exr
from media.tests.media_files import png, sound, video

FILES = all_files()
MOST_MIB = 300
MOST_CPU_S = 5.0


def _children() -> list[psutil.Process]:
    """All but the one that keeps count of shared memory, which stays with the tests."""
    return [child for child in psutil.Process().children() if "resource_tracker" not in "".join(child.cmdline())]


@dataclass
class Watched:
    """A checker, its children, and what they took."""

    checker: Checker
    others: set[int] = field(default_factory=lambda: {child.pid for child in _children()})
    children: list[psutil.Process] = field(default_factory=list)
    peak_mib: int = 0

    def look(self) -> None:
        self.children = [child for child in _children() if child.pid not in self.others]

    def is_one_gone(self) -> bool:
        return any(not child.is_running() or child.status() == psutil.STATUS_ZOMBIE for child in self.children)

    def cpu_s(self) -> float:
        return sum(sum(child.cpu_times()[:2]) for child in self.children)

    def see_memory(self) -> int:
        """The most that one of them has ever had in memory, in MiB."""
        for child in self.children:
            status = Path(f"/proc/{child.pid}/status").read_text()
            self.peak_mib = max(self.peak_mib, int(status.partition("VmHWM:")[2].split()[0]) // 1024)
        return self.peak_mib


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    watched = Watched(Checker())
    await watched.checker.check(png(8, 8))
    watched.look()
    yield watched
    watched.look()
    await watched.checker.close()
    _, alive = psutil.wait_procs(watched.children, timeout=10)
    assert alive == []


def source(file: Hostile, folder: Path) -> Path:
    path = folder / "file"
    path.write_bytes(file.make())
    return path


async def complaints(
    watched: Watched, folder: Path, work: Callable[[Hostile, Path], Awaitable[str | None]]
) -> list[str]:
    """What is wrong with what became of each file, in words; the children are the same ones at the end."""
    found = []
    for file in FILES:
        path = source(file, folder)
        watched.look()
        cpu_s, memory = watched.cpu_s(), watched.see_memory()
        wrong = await work(file, path)
        if wrong is not None:
            found.append(f"{file}: {wrong}")
        if watched.is_one_gone():
            found.append(f"{file}: ended a child")
            continue
        cpu_s = watched.cpu_s() - cpu_s
        if cpu_s > MOST_CPU_S:
            found.append(f"{file}: {cpu_s:.1f} s")
        if memory <= MOST_MIB < watched.see_memory():
            found.append(f"{file}: {watched.peak_mib} MiB")
    return found


def test_the_corpus_is_large_and_every_file_in_it_has_a_name_and_is_the_same_each_time() -> None:
    assert len(FILES) >= 300
    assert [name for name, count in Counter(map(str, FILES)).items() if count > 1] == []
    assert min(Counter(file.family for file in FILES).values()) >= 10
    assert {file.kind for file in FILES} == {
        *("png", "jpeg", "webp", "exr", "hdr", "mp4", "webm", "wav", "mp3", "ogg", "flac", "glb")
    }
    assert all(file.make() == file.make() for file in FILES[::7])


async def test_every_hostile_upload_is_refused_for_its_reason_and_no_child_is_ended_or_grows(
    watched: Watched, tmp_path: Path
) -> None:
    async def refused(file: Hostile, path: Path) -> str | None:
        try:
            return f"passes: {await watched.checker.check(path)}"
        except CorruptOutput as error:
            return None if error.reason is file.reason else f"{error.reason} ({error}), but {file.reason} was expected"

    wrong = await complaints(watched, tmp_path, refused)
    assert wrong == [], "\n".join(wrong)
    assert (await watched.checker.check(png(20, 10))).width == 20
    print(f"\n{len(FILES)} files, at most {watched.peak_mib} MiB")


async def test_of_every_hostile_result_nothing_but_media_is_kept(watched: Watched, tmp_path: Path) -> None:
    """What follows whole media is cut off, and anything else is refused."""

    async def refused(file: Hostile, path: Path) -> str | None:
        try:
            found = await watched.checker.finish(path, Wanted(file.kind, thumbnail=True))
        except CorruptOutput as error:
            return f"refused: {error}" if file.cut else None
        return kept(found, file.make()) if file.cut else f"passes: {found.facts}"

    wrong = await complaints(watched, tmp_path, refused)
    assert wrong == [], "\n".join(wrong)
    assert (await watched.checker.finish(png(20, 10), Wanted("png"))).facts.width == 20
    print(f"\n{len(FILES)} files, at most {watched.peak_mib} MiB")


def kept(found: FinishedMedia, native: bytes) -> str | None:
    """What is wrong with media whose end should be cut off."""
    if found.data is None:
        return "is kept as it came"
    tail = native[len(without_tail(native, sniffed(native[:START]))) :].strip(b"\0")
    if tail and tail in found.data:
        return "still has what followed it"
    check_media(found.data)
    return None


async def test_hostile_pictures_in_a_group_do_no_harm_to_the_one_between_them(watched: Watched) -> None:
    good = (png(20, 10), Wanted("png", 10, 10))
    pictures = [file for file in FILES if file.kind in {"png", "jpeg", "webp"} and file.reason is not Reason.MIXED]
    hostile = [(file.make(), Wanted(file.kind, 64, 64)) for file in pictures]
    half = len(hostile) // 2
    outcomes = await watched.checker.finish_pictures([*hostile[:half], good, *hostile[half:]])
    watched.look()
    assert isinstance(outcomes.pop(half), FinishedMedia)
    assert [type(outcome) for outcome in outcomes] == [CorruptOutput] * len(hostile)
    assert watched.see_memory() < MOST_MIB


async def test_a_file_that_is_too_large_is_not_even_read(watched: Watched, tmp_path: Path) -> None:
    path = tmp_path / "file"
    for start in (png(8, 8), sound(0.5), video()):
        path.write_bytes(start)
        os.truncate(path, MAX_BYTES + 1)
        with pytest.raises(CorruptOutput) as caught:
            await watched.checker.check(path)
        assert caught.value.reason is Reason.TOO_LARGE
    assert watched.see_memory() < 150


def test_indices_that_many_primitives_share_are_looked_at_once() -> None:
    data = same_indices()
    begun = time.process_time()
    assert check_media(data).triangles == 60_000 * 100_000
    assert time.process_time() - begun < MOST_CPU_S


def saved(form: str, picture: Image.Image, **options: object) -> bytes:
    file = BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def _pixels(mode: str, size: tuple[int, int]) -> Image.Image:
    return Image.effect_noise(size, 60).convert(mode)


@pytest.mark.parametrize("size", [(1, 1), (17, 9), (64, 48), (255, 130)])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"quality": 5},
        {"quality": 100, "subsampling": 0},
        {"subsampling": 1},
        {"restart_marker_blocks": 1},
        {"optimize": True, "comment": b"a comment"},
    ],
    ids=str,
)
def test_a_jpeg_of_any_making_is_whole(size: tuple[int, int], mode: str, options: dict[str, object]) -> None:
    assert check_media(saved("jpeg", _pixels(mode, size), **options)).width == size[0]


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (5, 9), (64, 48)])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_png_of_any_making_is_whole(size: tuple[int, int], mode: str) -> None:
    picture = _pixels("L", size).convert("I").convert("I;16") if mode == "I;16" else _pixels("RGB", size).convert(mode)
    assert check_media(saved("png", picture)).width == size[0]


def test_an_interlaced_png_has_as_many_pixels_as_it_declares() -> None:
    from media.pngs import _inflated_bytes

    for width in range(1, 20):
        for height in range(1, 20):
            whole = _inflated_bytes(width, height, 24, 0) - height
            parts = _inflated_bytes(width, height, 24, 1)
            assert whole == width * height * 3 < parts


def test_a_jpeg_with_a_brighter_version_behind_it_is_a_picture_and_without_a_word_of_it_is_none() -> None:
    first, second = saved("jpeg", _pixels("RGB", (64, 48))), saved("jpeg", _pixels("L", (16, 12)))
    several = b"\xff\xe2\x00\x0aMPF\x00II*\x00"
    assert check_media(first[:2] + several + first[2:] + second).width == 64
    with pytest.raises(CorruptOutput) as caught:
        check_media(first + second)
    assert caught.value.reason is Reason.MIXED


LARGEST = {
    "png": lambda: saved("png", Image.new("RGB", (8000, 5000), "teal")),
    "jpeg": lambda: saved("jpeg", Image.new("RGB", (8000, 5000), "teal")),
    "progressive jpeg": lambda: saved("jpeg", Image.new("RGB", (7600, 5000), "teal"), progressive=True),
    "webp": lambda: saved("webp", Image.new("RGB", (4096, 4096), "teal"), lossless=True, method=0),
    "video": lambda: video(4096, 2304, frames=2),
    "exr": lambda: dark_exr(8192, 4096),
    "hdr": lambda: b"#?RADIANCE\n\n-Y 4096 +X 8192\n" + (b"\2\2\x20\0" + (b"\xff\x40" * 64 + b"\xc0\x40") * 4) * 4096,
}


@pytest.mark.parametrize("name", LARGEST)
async def test_the_largest_that_is_allowed_passes(watched: Watched, name: str) -> None:
    found: Facts = await watched.checker.check(LARGEST[name]())
    assert (found.width or 0) * (found.height or 0) >= 4096 * 2304
    print(f"\n{name}: {watched.see_memory()} MiB")
