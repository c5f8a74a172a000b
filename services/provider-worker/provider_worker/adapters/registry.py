"""From a name in the route file to an adapter.

`adapter: openai_images` is the module `provider_worker.adapters.openai_images`; `adapter: mine.painter` is a module of
your own that can be imported. Either has a function `make(config: ProviderConfig) -> ProviderAdapter`, and may have a
class `Options`, which the options in the route file are checked by.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, cast

from chassis.errors import StartError
from provider_worker.adapters.config import Options, ProviderConfig
from provider_worker.adapters.interface import ProviderAdapter

Make = Callable[[ProviderConfig], ProviderAdapter]

_NAME = re.compile(r"[a-z_][a-z0-9_]*(\.[a-zA-Z_][a-zA-Z0-9_]*)*")


def options_of(adapter: str) -> type[Options] | None:
    """What may be said to adapters of this name, where their module tells it as `Options`."""
    try:
        found: Any = getattr(_module(adapter), "Options", None)
    except StartError:
        return None
    return found if isinstance(found, type) and issubclass(found, Options) else None


def check_adapter(adapter: str) -> None:
    """Raises `StartError` in words where there is no module of this name."""
    _module(adapter)


def maker_of(adapter: str, given: Mapping[str, Make]) -> Make:
    """What makes adapters of this name: one of `given`, or a module's `make`. Raises `StartError` in words."""
    if adapter in given:
        return given[adapter]
    make = getattr(_module(adapter), "make", None)
    if not callable(make):
        raise StartError([f"the adapter {adapter} has no function make(config)"])
    return cast("Make", make)


def _module(adapter: str) -> ModuleType:
    if not _NAME.fullmatch(adapter):
        raise StartError([f"{adapter!r} is no adapter: it is the name of a module of ours, or of yours with its dots"])
    try:
        return importlib.import_module(adapter if "." in adapter else f"provider_worker.adapters.{adapter}")
    except ImportError as error:
        if "." in adapter:
            raise StartError([f"the module {adapter} of yours cannot be imported: {error}"]) from error
        raise StartError([f"there is no adapter {adapter}, but {', '.join(_ours())}, or a module of yours"]) from error


def _ours() -> list[str]:
    """Names of modules with a `make`."""
    package = importlib.import_module("provider_worker.adapters")
    modules = (f"{package.__name__}.{found.name}" for found in pkgutil.iter_modules(package.__path__))
    return [name.rpartition(".")[2] for name in modules if hasattr(importlib.import_module(name), "make")]
