"""A page that shows and plays files beside it: no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from backlot.showcase import Example

NAMES = {
    "image": "Image",
    "texture": "Texture",
    "environment_map": "Environment map",
    "video": "Video",
    "sfx": "Sound effect",
    "music": "Music",
    "model_3d": "3D model",
}

_STYLE = """
:root { color-scheme: light dark; --ground: #f6f5f2; --card: #fff; --ink: #1c1b22; --soft: #6b6876; --line: #e2dfd8; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #15141a; --card: #1f1d26; --ink: #f2f0f7; --soft: #a19dae; --line: #34313d; }
}
body { margin: 0; padding: 2rem clamp(1rem, 4vw, 4rem); background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { margin: 0 0 1.5rem; font-size: 1.6rem; }
main { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); }
article { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; overflow: hidden; }
.show { position: relative; aspect-ratio: 16 / 9; background: #000; }
.show > * { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; }
.tiled { background-size: 33.34%; }
.with-sound > img { object-fit: cover; }
.with-sound > audio { inset: auto .5rem .5rem; width: calc(100% - 1rem); height: 2.5rem; }
.words { padding: .75rem 1rem 1rem; }
h2 { margin: 0; font-size: 1.05rem; }
p { margin: .25rem 0; color: var(--soft); font-size: .875rem; }
a { color: inherit; }
"""


def write_contact_sheet(examples: Sequence[Example], path: Path) -> None:
    """Writes the page for `examples`, whose files lie beside it."""
    cards = "\n".join(_card(example) for example in examples)
    path.write_text(
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Backlot: one of every kind</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>\n'
        f"<body><h1>One of every kind</h1><main>\n{cards}\n</main></body></html>\n",
        encoding="utf-8",
    )


def _card(example: Example) -> str:
    file, facts = _name(example.file), [example.about, f"{example.cost} USD", *example.flags]
    return (
        f"<article>{_shown(example)}<div class='words'><h2>{escape(NAMES[example.kind])}</h2>"
        f"<p>{escape(example.prompt)}</p><p>{escape(' · '.join(facts))} · <a href='{file}' download>{file}</a></p>"
        "</div></article>"
    )


def _shown(example: Example) -> str:
    file, small = _name(example.file), _name(example.thumbnail or example.file)
    words = escape(example.prompt)
    if example.kind == "texture":
        return f"<div class='show'><div class='tiled' role='img' aria-label='{words}' {_ground(file)}></div></div>"
    match example.mime.partition("/")[0]:
        case "video":
            return (
                f"<div class='show'><video src='{file}' poster='{small}' controls loop muted playsinline></video></div>"
            )
        case "audio":
            return (
                f"<div class='show with-sound'><img src='{small}' alt='Its waveform'>"
                f"<audio src='{file}' controls preload='metadata'></audio></div>"
            )
        case _:
            return f"<div class='show'><img src='{small}' alt='{words}'></div>"


def _ground(file: str) -> str:
    return f"style='background-image: url({file})'"


def _name(path: str) -> str:
    return escape(Path(path).name)
