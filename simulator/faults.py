"""What can be made to go wrong, and how it is asked for: `[[sim:...]]` in a prompt, a header, or the admin API.

One fault reads `name[xTIMES][:variant][=value][@endpoint]`, for example `http500x2`, `429:retry_after=3`,
`corrupt:truncated`, `slow=400s`, `http503x3@status`. `xTIMES` stops it after so many requests of the same reference.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

SUBMIT = "submit"


class Stage(StrEnum):
    """When a fault acts."""

    REFUSE = "refuse"  # instead of accepting: nothing is billed
    LOSE = "lose"  # accepted and billed, but the caller is not told
    WORK = "work"  # on the generation: how long it takes, how it ends
    STATUS = "status"  # on what a question about it is answered
    BYTES = "bytes"  # on the media itself
    FILE = "file"  # on how a result link is served
    CALLBACK = "callback"  # on the provider's own calls


@dataclass(frozen=True, slots=True)
class Kind:
    """One name of the vocabulary: its stage, its variants (`""` where none is fine), and whether it takes a value."""

    stage: Stage
    variants: frozenset[str] = frozenset({""})
    valued: bool = False


def _kind(stage: Stage, variants: str = "", *, valued: bool = False, bare: bool = True) -> Kind:
    return Kind(stage, frozenset(variants.split()) | ({""} if bare else frozenset()), valued)


KNOWN: Mapping[str, Kind] = {
    "429": _kind(Stage.REFUSE, "retry_after body_retryinfo", valued=True),
    "quota": _kind(Stage.REFUSE),
    "auth": _kind(Stage.REFUSE),
    # `policy:output` is found out after the work; it is decided when the request is taken.
    "policy": _kind(Stage.REFUSE, "input output"),
    # `foreign`: a proxy's page instead of the provider's own error. `paid`: that page after the work was accepted.
    "http": _kind(Stage.REFUSE, "foreign paid"),
    "drop": _kind(Stage.REFUSE),
    "drop_after_accept": _kind(Stage.LOSE),
    "hang": _kind(Stage.LOSE, "unpaid"),
    "slow": _kind(Stage.WORK, valued=True),
    "never": _kind(Stage.WORK),
    "fail": _kind(Stage.WORK),
    "partial": _kind(Stage.WORK),
    # `unknown`: a word that nobody documented; `back`: queued again; `gone`: 404; `extra`: a field nobody knows.
    "status": _kind(Stage.STATUS, "unknown back gone extra", bare=False),
    "corrupt": _kind(
        Stage.BYTES,
        "truncated html empty garbage wrong_mime wrong_size too_many_tris no_pbr seam",
        bare=False,
    ),
    "expired_url": _kind(Stage.FILE),
    "file": _kind(
        Stage.FILE,
        "redirect redirect_loop redirect_private redirect_loopback redirect_metadata drip huge endless short gzip_bomb",
        valued=True,
        bare=False,
    ),
    "dup_webhook": _kind(Stage.CALLBACK),
    "late_webhook": _kind(Stage.CALLBACK, valued=True),
    "no_webhook": _kind(Stage.CALLBACK),
    "bad_signature": _kind(Stage.CALLBACK, "old"),
    "callback_exception": _kind(Stage.CALLBACK),
}

_FAULT = re.compile(
    r"(?P<name>http(?P<status>[1-5]\d\d)|429|[a-z_]+?)(?:x(?P<times>\d+))?"
    r"(?::(?P<variant>[a-z_]+))?(?:=(?P<value>\d+(?:\.\d+)?)(?P<unit>ms|s|)?)?(?:@(?P<endpoint>[a-z_]+))?"
)
_TAG = re.compile(r"\[\[sim:([^\]]{1,200})\]\]")
_LABEL = re.compile(r"(reference|tenant)=(.{1,150})")


class UnknownFault(ValueError):
    """The text names no fault, or one in a way it has not."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong. `value` is in seconds, `status` that of `http...`; always without `times`."""

    name: str
    variant: str = ""
    value: float | None = None
    status: int = 0
    times: int | None = None
    endpoint: str = SUBMIT

    @property
    def stage(self) -> Stage:
        if (self.name, self.variant) in {("http", "paid")}:
            return Stage.LOSE
        if (self.name, self.variant) == ("hang", "unpaid"):
            return Stage.REFUSE
        if (self.name, self.variant) == ("policy", "output"):
            return Stage.WORK
        return KNOWN[self.name].stage

    def __str__(self) -> str:
        times = "" if self.times is None else f"x{self.times}"
        variant = f":{self.variant}" if self.variant else ""
        value = "" if self.value is None else f"={self.value:g}"
        endpoint = "" if self.endpoint == SUBMIT else f"@{self.endpoint}"
        return f"{self.name}{self.status or ''}{times}{variant}{value}{endpoint}"


@dataclass(frozen=True, slots=True)
class Asked:
    """What one request asks for: faults, labels (`reference`, `tenant`), and tags that mean nothing here."""

    faults: tuple[Fault, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


def parsed(text: str, *, endpoint: str | None = None) -> Fault:
    """One fault from its text; raises `UnknownFault`. `endpoint` is where it acts unless the text says so itself."""
    found = _FAULT.fullmatch(text.strip())
    name = "http" if found and found["status"] else found["name"] if found else ""
    kind = KNOWN.get(name)
    if found is None or kind is None or (name == "http" and not found["status"]):
        raise UnknownFault(f"no fault is called {text.strip()!r}")
    variant = found["variant"] or ""
    if variant not in kind.variants:
        raise UnknownFault(
            f"{name} has no variant {variant!r}, but {', '.join(sorted(kind.variants - {''})) or 'none'}"
        )
    if found["value"] and not kind.valued:
        raise UnknownFault(f"{name} takes no value")
    return Fault(
        name=name,
        variant=variant,
        value=None if found["value"] is None else float(found["value"]) / (1000 if found["unit"] == "ms" else 1),
        status=int(found["status"] or 0),
        times=None if found["times"] is None else int(found["times"]),
        endpoint=found["endpoint"] or endpoint or (STATUS_ENDPOINT if kind.stage is Stage.STATUS else SUBMIT),
    )


STATUS_ENDPOINT = "status"


def asked(prompt: str, header: str = "") -> Asked:
    """What the tags of a prompt, and the commas of the header `x-sim-faults`, ask for."""
    faults: list[Fault] = []
    labels: dict[str, str] = {}
    unknown: list[str] = []
    for text in [*(match[1] for match in _TAG.finditer(prompt)), *filter(None, map(str.strip, header.split(",")))]:
        if label := _LABEL.fullmatch(text):
            labels[label[1]] = label[2]
            continue
        try:
            faults.append(parsed(text))
        except UnknownFault:
            unknown.append(text)
    return Asked(tuple(faults), labels, tuple(unknown))


def without_tags(prompt: str) -> str:
    return _TAG.sub("", prompt).strip()


def one_of(faults: Iterable[Fault], name: str) -> Fault | None:
    return next((fault for fault in faults if fault.name == name), None)


def share(*parts: object) -> float:
    """A number from 0 up to 1 that is the same for the same parts, whatever happens around it."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:7]) / (1 << 56)
