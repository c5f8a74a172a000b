"""Commands about jobs: generate, jobs, job, cancel, kits."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from backlot.client import Client, Job
from backlot.connection import as_json, connect
from backlot.errors import BacklotClientError
from backlot.showing import OUT, table, watching

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def generate(
    prompt: Annotated[str | None, typer.Argument(help="What the picture shows.")] = None,
    asset_type: Annotated[
        str | None, typer.Option(help="thumbnail, overlay, banner, story_graphic, clip_cover")
    ] = None,
    kit: Annotated[str | None, typer.Option(help="Id of the brand kit (`backlot kits`).")] = None,
    size: Annotated[str | None, typer.Option(help="Width and height, like 1024x768.")] = None,
    count: Annotated[int, typer.Option(help="How many different pictures.", min=1, max=10)] = 1,
    seed: Annotated[int | None, typer.Option(help="Same seed, same picture.")] = None,
    max_cost: Annotated[str | None, typer.Option(help="Spend at most this, like 0.50.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the pictures go.")] = Path(),
    timeout: Annotated[float, typer.Option(help="Seconds to wait.", min=1)] = 120.0,
    as_object: Json = False,
) -> None:
    """Make pictures and save them here."""
    wanted = {
        "kind": "image",
        "prompt": prompt,
        "asset_type": asset_type,
        "brand_kit_id": kit,
        "count": count,
        "seed": seed,
        "max_cost": max_cost,
        **_size(size),
    }
    _ready(output)
    with connect() as client:
        job = client.create_job({name: value for name, value in wanted.items() if value is not None})
        with watching() as watch:
            for now in client.changes(job["id"], timeout=timeout):
                watch.show(asset_type or "image", now)
                job = now
        files = _save(client, job, output)
    if as_object:
        sys.stdout.write(as_json({**job, "files": files}) + "\n")
    else:
        for file in files:
            OUT.print(file, markup=False)
    if job["status"] != "completed":
        raise BacklotClientError(_why(job))


def jobs(
    status: Annotated[str | None, typer.Option(help="Only jobs in this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    as_object: Json = False,
) -> None:
    """List jobs, newest first."""
    with connect() as client:
        page = client.list_jobs(status=status, limit=limit)
    if as_object:
        sys.stdout.write(as_json(page) + "\n")
        return
    rows = [(j["id"], j["asset_type"] or j["kind"], j["status"], f"{j['progress']} %", _cost(j)) for j in page["items"]]
    table(("job", "what", "status", "progress", "cost"), rows)
    OUT.print(f"{len(rows)} of {page['total']}")


def job(
    job_id: Annotated[str, typer.Argument(metavar="ID")],
    wait: Annotated[bool, typer.Option("--wait", help="Follow it until it has ended.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait.", min=1)] = 120.0,
    as_object: Json = False,
) -> None:
    """Show a job with its items, outputs and cost."""
    with connect() as client:
        found = client.get_job(job_id)
        if wait:
            with watching() as watch:
                for found in client.changes(job_id, timeout=timeout):
                    watch.show(found["asset_type"] or found["kind"], found)
    if as_object:
        sys.stdout.write(as_json(found) + "\n")
        return
    OUT.print(f"{found['id']}: {found['status']}, {found['progress']} %, {_cost(found)}", markup=False)
    if found["error"]:
        OUT.print(_why(found), markup=False)
    rows = [(i["number"], i["status"], i["provider"] or "", i["url"] or _item_error(i)) for i in found["items"]]
    table(("item", "status", "provider", "picture"), rows)


def cancel(job_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Ask a job to stop."""
    with connect() as client:
        found = client.cancel(job_id)
    cancellation = found.get("cancellation") or {}
    OUT.print(f"{found['id']}: {cancellation.get('state', found['status'])}", markup=False)


def kits(as_object: Json = False) -> None:
    """List brand kits."""
    with connect() as client:
        page = client.list_brand_kits(limit=100)
    if as_object:
        sys.stdout.write(as_json(page) + "\n")
        return
    rows = [(k["id"], k["name"], k["version"], " ".join(k["primary_colors"]), k["tone"]) for k in page["items"]]
    table(("kit", "name", "version", "colours", "tone"), rows)


def _size(size: str | None) -> dict[str, int]:
    if size is None:
        return {}
    width, _, height = size.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise BacklotClientError(f"--size {size} is not like 1024x768")
    return {"width": int(width), "height": int(height)}


def _ready(folder: Path) -> None:
    """Made and tried before anything is paid for."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BacklotClientError(
            f"nothing can be written to {folder}: {error.strerror}; choose another --output"
        ) from error


def _save(client: Client, done: Job, folder: Path) -> list[str]:
    files = []
    for item in done["items"]:
        for output in item["outputs"]:
            name = f"{done['asset_type'] or done['kind']}-{done['id'][-8:]}-{item['number']}.{_suffix(output['mime'])}"
            client.download(output["url"], folder / name, sha256=output["sha256"])
            files.append(str(folder / name))
    return files


def _suffix(mime: str) -> str:
    return {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}.get(mime, "bin")


def _why(failed: Mapping[str, Any]) -> str:
    error = failed["error"] or {}
    return f"the job is {failed['status']}: {error.get('code', '')} {error.get('message', '')}".rstrip()


def _item_error(item: Mapping[str, Any]) -> str:
    return f"{item['error']['code']}: {item['error']['message']}" if item["error"] else ""


def _cost(shown: Mapping[str, Any]) -> str:
    cost = shown["cost"]
    return f"{cost['actual']} {cost['currency']}" + ("" if cost["settled"] else " so far")


def register(app: typer.Typer) -> None:
    """Puts the commands into `app`."""
    for command in (generate, jobs, job, cancel, kits):
        app.command()(command)
