"""Finished media with the mark that says that a machine made it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from media.facts import read_whole
from media.finishing import finish_media
from media.marks import marked
from media.wanted import FinishedMedia, Wanted


def finish_marked(source: bytes | Path, wanted: Wanted) -> FinishedMedia:
    """As `finish_media`, and marked as the last step, the thumbnail too; `sha256` is of the bytes before the mark."""
    native = read_whole(source)
    finished = finish_media(native, wanted)
    content = native if finished.data is None else finished.data
    made = marked(content, finished.facts.mime)
    return replace(
        finished,
        facts=replace(finished.facts, size=len(made)),
        data=None if made is native else made,
        thumbnail=None if finished.thumbnail is None else marked(finished.thumbnail, "image/webp"),
    )
