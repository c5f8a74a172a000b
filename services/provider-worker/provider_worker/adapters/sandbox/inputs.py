"""What requests build on: kept by hash as long as there is room, looked at in children with limits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from media import Children, ChildrenFailed, Limits
from provider_worker.adapters.interface import ErrorCode, InputMedia, ProviderError
from provider_worker.adapters.pictures import told_by_hash
from provider_worker.adapters.sandbox.keeping import Keep
from provider_worker.adapters.sandbox.looking import NOTHING, Looked, UnusableInput, looked

_MOST_KEPT = 512 << 20
_LIMITS = Limits(memory=1 << 30, cpu_s=20)
_TIMEOUT_S = 60.0


class SandboxInputs:
    """A generation can be made again of what a submit of it brought. Raises `ProviderError`. Belongs to one loop."""

    def __init__(self, folder: Path, *, workers: int) -> None:
        self._keep = Keep(folder, _MOST_KEPT)
        self._children = Children(workers=workers, limits=_LIMITS)

    async def brought(self, plan: Mapping[str, Any], inputs: Sequence[InputMedia]) -> Looked:
        """What the inputs of a plan show, before anything is paid; kept from now on."""
        if "inputs" not in plan:
            return NOTHING
        by_hash = {told_by_hash(given): given.data or b"" for given in inputs}
        try:
            files = [by_hash[told["sha256"]] for told in plan["inputs"]]
        except KeyError:
            raise _invalid("the inputs are others than those that were planned") from None
        found = await self._looked(plan, files)
        try:
            await asyncio.to_thread(self._put, by_hash)
        except OSError as error:
            raise _away(error) from error
        return found

    async def again(self, plan: Mapping[str, Any]) -> Looked:
        """What they show by what was kept of them."""
        if "inputs" not in plan:
            return NOTHING
        try:
            files = await asyncio.to_thread(lambda: [self._keep.get(told["sha256"]) for told in plan["inputs"]])
        except OSError as error:
            raise _away(error) from error
        if missing := [told["role"] for told, file in zip(plan["inputs"], files, strict=True) if file is None]:
            raise ProviderError(ErrorCode.PROVIDER_ERROR, f"it was built on what is kept no longer: {missing[0]}")
        return await self._looked(plan, [file for file in files if file is not None])

    async def close(self) -> None:
        await self._children.close()

    def _put(self, by_hash: Mapping[str, bytes]) -> None:
        for sha256, data in by_hash.items():
            self._keep.put(sha256, data)

    async def _looked(self, plan: Mapping[str, Any], files: Sequence[bytes]) -> Looked:
        try:
            return await self._children.run(_TIMEOUT_S, looked, plan, files)
        except UnusableInput as error:
            raise _invalid(str(error)) from error
        except ChildrenFailed as error:
            raise ProviderError(ErrorCode.TEMPORARY, str(error), http_status=500) from error


def told(plan: Mapping[str, Any]) -> str | None:
    """What the bill keeps of the inputs of a plan."""
    return json.dumps(plan["inputs"]) if "inputs" in plan else None


def with_inputs(plan: Mapping[str, Any], kept: str | None) -> Mapping[str, Any]:
    """A plan whose request came without the bytes of its inputs, with them as the bill has them."""
    return plan if kept is None else {**plan, "inputs": json.loads(kept)}


def _invalid(message: str) -> ProviderError:
    return ProviderError(ErrorCode.INVALID_REQUEST, message, http_status=400)


def _away(error: OSError) -> ProviderError:
    return ProviderError(ErrorCode.TEMPORARY, f"the folder of inputs: {error}", http_status=503)
