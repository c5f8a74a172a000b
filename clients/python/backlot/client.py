"""Backlot over HTTP, for scripts and for the command line."""

from __future__ import annotations

import hashlib
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx

from backlot.errors import BacklotClientError, DownloadBroken, RequestRefused, Unreachable

Job = dict[str, Any]
R = TypeVar("R")
TERMINAL = frozenset({"completed", "partial", "failed", "cancelled"})
_TRIES = 4
_LONGEST_PAUSE = 8.0
_ASK_EVERY = 0.5
_UPLOAD_TIMEOUT = httpx.Timeout(30.0, read=180.0)
"""All of it is decoded before it is answered."""
_OF_ITS_BYTES = {"Content-Type": "application/octet-stream"}
"""What a file is, its bytes say better than its name."""


class Client:
    """A connection to one gateway with one API key.

    Every method answers the JSON of the API as a dict, raises `RequestRefused` with the gateway's reason, and
    `Unreachable` when there was no answer. Creating a job is safe to repeat: its idempotency key is made once for each
    call, outside of all retries (R24). `sleep` is called between tries.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._sleep = sleep
        self._http = httpx.Client(
            base_url=self.base_url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=timeout,
            transport=transport,
            trust_env=False,
        )
        # Bytes come from another origin, which must never see the key.
        self._bytes = httpx.Client(timeout=timeout, transport=transport, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()
        self._bytes.close()

    def create_job(self, job: Mapping[str, Any], *, idempotency_key: str | None = None) -> Job:
        """`POST /api/v1/jobs`: one job, accepted or refused."""
        return self._create("/api/v1/jobs", job, idempotency_key)

    def generate(
        self,
        asset_type: str,
        brand_kit_id: str,
        *,
        custom_prompt: str | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """`POST /api/v1/generate`: one of the Studio's asset types in a brand's look."""
        body = {"asset_type": asset_type, "brand_kit_id": brand_kit_id}
        if custom_prompt is not None:
            body["custom_prompt"] = custom_prompt
        return self._create("/api/v1/generate", body, idempotency_key)

    def manifest(self, channel: str, project: str, *, idempotency_key: str | None = None, **wanted: Any) -> Job:
        """`POST /api/v1/manifests`: many pictures of one project as one job; `wanted`: `topic` and what else it takes.

        One runs at a time for each channel and project: `RequestRefused` with the code CONFLICT says which.
        """
        return self._create("/api/v1/manifests", {"channel": channel, "project": project, **wanted}, idempotency_key)

    def get_job(self, job_id: str, *, wait: float = 0, assets: bool = False) -> Job:
        """The job; with `wait` the answer is held up to that many seconds until the job changes or ends."""
        params: dict[str, str] = {}
        if wait:
            params["wait"] = f"{wait:g}"
        if assets:
            params["include"] = "assets"
        return self._json("GET", f"/api/v1/jobs/{job_id}", params=params, timeout=wait + 30)

    def list_jobs(self, **filters: Any) -> Job:
        """A page of jobs, newest first; filters as `GET /api/v1/jobs` has them."""
        return self._json("GET", "/api/v1/jobs", params={k: v for k, v in filters.items() if v is not None})

    def list_manifests(self, **filters: Any) -> Job:
        """A page of manifests, newest first; filters as `GET /api/v1/manifests` has them."""
        return self._json("GET", "/api/v1/manifests", params={k: v for k, v in filters.items() if v is not None})

    def job_assets(self, job_id: str) -> Job:
        """The assets of a job."""
        return self._json("GET", f"/api/v1/jobs/{job_id}/assets")

    def cancel(self, job_id: str) -> Job:
        """Asks a job to stop."""
        return self._json("POST", f"/api/v1/jobs/{job_id}/cancel")

    def redownload(self, job_id: str, items: Sequence[int] | None = None) -> Job:
        """Has what was paid for fetched again: of `items`, or of all that failed though they were paid for."""
        return self._json("POST", f"/api/v1/jobs/{job_id}/redownload", json={"items": list(items)} if items else {})

    def redownloaded(self, job_id: str, *, timeout: float) -> Job:
        """The job when all its redownloads are answered. Raises BacklotClientError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            job = self.get_job(job_id)
            if not any((item["redownload"] or {}).get("state") == "requested" for item in job["items"]):
                return job
            if time.monotonic() > deadline:
                raise BacklotClientError(f"job {job_id} is still being fetched after {timeout:g} s")
            self._sleep(_ASK_EVERY)

    def upload(self, path: Path) -> Job:
        """`POST /api/v1/uploads`: the file as an asset of yours. Safe to repeat: the same bytes are the same asset."""

        def once() -> Job:
            with path.open("rb") as file:
                response = self._http.post(
                    "/api/v1/uploads", content=file, headers=_OF_ITS_BYTES, timeout=_UPLOAD_TIMEOUT
                )
            if response.is_error:
                raise RequestRefused(response.status_code, _problem(response))
            asset: Job = response.json()
            return asset

        try:
            return self._again(once, tries=_TRIES)
        except OSError as error:
            raise BacklotClientError(f"{path} cannot be read: {error.strerror}") from error

    def get_asset(self, asset_id: str) -> Job:
        """An asset, and where its bytes are."""
        return self._json("GET", f"/api/v1/assets/{asset_id}")

    def delete_asset(self, asset_id: str) -> None:
        """Deletes an asset for good."""
        self._request("DELETE", f"/api/v1/assets/{asset_id}")

    def list_providers(self, *, tries: int = _TRIES) -> Job:
        """Every provider with what it makes, its limits and prices, and why it cannot be used."""
        return self._json("GET", "/api/v1/providers", tries=tries)

    def list_templates(self, **filters: Any) -> Job:
        """A page of templates in all their versions; filters as `GET /api/v1/templates` has them."""
        return self._json("GET", "/api/v1/templates", params={k: v for k, v in filters.items() if v is not None})

    def preview_template(self, name: str, wanted: Mapping[str, Any]) -> Job:
        """The prompt that a job with `wanted` would get of a template. Nothing is made."""
        return self._json("POST", f"/api/v1/templates/{quote(name, safe='')}/preview", json=dict(wanted))

    def create_webhook(self, url: str, *, events: Sequence[str] | None = None, description: str | None = None) -> Job:
        """An address that hears how jobs end, with its `secret`, which is shown this once. Tried once only."""
        body = {"url": url, "events": list(events) if events else None, "description": description}
        return self._json("POST", "/api/v1/webhooks", json=body, tries=1)

    def list_webhooks(self, **paging: Any) -> Job:
        """A page of webhooks, newest first."""
        return self._json("GET", "/api/v1/webhooks", params=paging)

    def get_webhook(self, webhook_id: str) -> Job:
        """A webhook, and whether it is disabled."""
        return self._json("GET", f"/api/v1/webhooks/{webhook_id}")

    def delete_webhook(self, webhook_id: str) -> None:
        """Deletes a webhook; nothing is sent to it any more."""
        self._request("DELETE", f"/api/v1/webhooks/{webhook_id}")

    def list_deliveries(self, webhook_id: str, **filters: Any) -> Job:
        """A page of what was told to a webhook, newest first; `state`: pending, delivered or given_up."""
        params = {k: v for k, v in filters.items() if v is not None}
        return self._json("GET", f"/api/v1/webhooks/{webhook_id}/deliveries", params=params)

    def redeliver(self, webhook_id: str, delivery_id: str) -> Job:
        """Has a delivery sent again, at once and with the same webhook-id."""
        return self._json("POST", f"/api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver")

    def create_brand_kit(self, kit: Mapping[str, Any]) -> Job:
        """A new brand kit. Tried once only: a repeated one would be a second kit."""
        return self._json("POST", "/api/v1/brand-kits", json=dict(kit), tries=1)

    def list_brand_kits(self, **paging: Any) -> Job:
        """A page of the tenant's brand kits."""
        return self._json("GET", "/api/v1/brand-kits", params=paging)

    def get_brand_kit(self, kit_id: str) -> Job:
        """A brand kit in its newest version."""
        return self._json("GET", f"/api/v1/brand-kits/{kit_id}")

    def update_brand_kit(self, kit_id: str, kit: Mapping[str, Any]) -> Job:
        """A new version of a brand kit."""
        return self._json("PUT", f"/api/v1/brand-kits/{kit_id}", json=dict(kit), tries=1)

    def delete_brand_kit(self, kit_id: str) -> None:
        """Deletes a brand kit."""
        self._request("DELETE", f"/api/v1/brand-kits/{kit_id}")

    def changes(self, job_id: str, *, timeout: float) -> Iterator[Job]:
        """The job now and after each change, until it has ended. Raises BacklotClientError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        job = self.get_job(job_id)
        while True:
            yield job
            if job["status"] in TERMINAL:
                return
            left = deadline - time.monotonic()
            if left <= 0:
                raise BacklotClientError(f"job {job_id} is still {job['status']} after {timeout:g} s")
            job = self.get_job(job_id, wait=max(1, min(30, left)))

    def wait(self, job_id: str, *, timeout: float = 60.0) -> Job:
        """The job when it has ended (R157)."""
        *_, last = self.changes(job_id, timeout=timeout)
        return last

    def settled(self, job_id: str, *, timeout: float) -> Job:
        """The job when its cost is final, else as it is after `timeout` seconds: a bill may stay open for long."""
        deadline = time.monotonic() + timeout
        while True:
            job = self.get_job(job_id)
            if job["cost"]["settled"] or time.monotonic() > deadline:
                return job
            self._sleep(_ASK_EVERY)

    def download(self, url: str, path: Path, *, sha256: str | None = None) -> str:
        """Streams `url` into `path`, which appears only when it is whole; answers the SHA-256 of what came.

        Raises `DownloadBroken` when that is not `sha256`.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without the name, which may be as long as names may be.
        beside = path.with_name(f".{uuid.uuid4().hex}")
        try:
            found = self._again(lambda: self._stream(url, beside), tries=_TRIES)
            if sha256 is not None and found != sha256:
                raise DownloadBroken(f"{url} gave bytes with SHA-256 {found}, not {sha256}")
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        return found

    def _stream(self, url: str, path: Path) -> str:
        digest = hashlib.sha256()
        with path.open("wb") as file, self._bytes.stream("GET", url, follow_redirects=True) as response:
            if response.is_error:
                response.read()
                raise RequestRefused(response.status_code, _problem(response))
            for chunk in response.iter_bytes():
                digest.update(chunk)
                file.write(chunk)
        return digest.hexdigest()

    def _create(self, path: str, body: Mapping[str, Any], key: str | None) -> Job:
        return self._json("POST", path, json=dict(body), headers={"Idempotency-Key": key or str(uuid.uuid4())})

    def _json(self, method: str, path: str, **arguments: Any) -> Job:
        answer = self._request(method, path, **arguments).json()
        if not isinstance(answer, dict):
            raise BacklotClientError(f"{method} {path} answered something that is not an object")
        return answer

    def _request(self, method: str, path: str, *, tries: int = _TRIES, **arguments: Any) -> httpx.Response:
        def once() -> httpx.Response:
            response = self._http.request(method, path, **arguments)
            if response.is_error:
                raise RequestRefused(response.status_code, _problem(response))
            return response

        return self._again(once, tries=tries)

    def _again(self, once: Callable[[], R], *, tries: int) -> R:
        for attempt in range(1, tries + 1):
            try:
                return once()
            except httpx.TransportError as error:
                if attempt == tries:
                    raise Unreachable(f"{self.base_url} does not answer: {error}") from error
                pause = 0.25 * 2.0**attempt
            except RequestRefused as error:
                if error.status != httpx.codes.SERVICE_UNAVAILABLE or attempt == tries:
                    raise
                pause = 0.25 * 2.0**attempt
            self._sleep(min(_LONGEST_PAUSE, pause) * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
        raise AssertionError("a try either returns or raises")


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        problem = response.json()
    except ValueError:
        return {"detail": response.text[:500] or f"HTTP {response.status_code}"}
    return problem if isinstance(problem, dict) else {}
