"""Commands about jobs: generate, jobs, job, cancel, redownload, kits."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from backlot.choosing import check_wish, route
from backlot.client import Client, Job
from backlot.connection import as_json, connect
from backlot.errors import BacklotClientError
from backlot.options import Json, Size, picture_size
from backlot.placing import ready
from backlot.showing import ERR, OUT, cost, item_error, table, watching, why
from backlot.upload_commands import inputs_of

KINDS = ("image", "texture", "environment_map", "video", "sfx", "music", "model_3d")
PATIENCE_S = {"video": 600.0, "music": 400.0, "model_3d": 1200.0}
"""How long a kind may take until its last provider has failed, where that is more than two minutes."""
SUFFIXES = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "video/mp4": "mp4",
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "audio/ogg": "ogg",
    "model/gltf-binary": "glb",
    "image/x-exr": "exr",
    "image/vnd.radiance": "hdr",
}


def generate(
    prompt: Annotated[str | None, typer.Argument(help="What is to be seen or heard.")] = None,
    kind: Annotated[str | None, typer.Option(help=f"{', '.join(KINDS)}. Default: image.")] = None,
    asset_type: Annotated[
        str | None, typer.Option(help="thumbnail, overlay, banner, story_graphic, clip_cover: an image of its size.")
    ] = None,
    kit: Annotated[str | None, typer.Option(help="Id of the brand kit (`backlot kits`).")] = None,
    size: Size = None,
    file_format: Annotated[
        str | None, typer.Option("--format", help="png, jpeg, webp; exr, hdr; mp4, webm; mp3, wav, ogg, flac; glb.")
    ] = None,
    duration: Annotated[float | None, typer.Option(help="Seconds, of video, sfx and music.")] = None,
    loop: Annotated[bool, typer.Option("--loop", help="The end meets the beginning: video and sfx.")] = False,
    vocals: Annotated[bool, typer.Option("--vocals", help="Music with voices.")] = False,
    genre: Annotated[str | None, typer.Option(help="Of music, like jazz.")] = None,
    effect: Annotated[str | None, typer.Option(help="Of sfx, like win.")] = None,
    max_triangles: Annotated[int | None, typer.Option(help="Of model_3d.")] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="ROLE=WHAT",
            help="Build on a file, an asset's id or an https address, like reference=fox.png. Roles: reference, style, "
            "mask, first_frame, last_frame, model. Several: once more.",
        ),
    ] = None,
    count: Annotated[int, typer.Option(help="How many different ones.", min=1, max=10)] = 1,
    seed: Annotated[int | None, typer.Option(help="Same seed, same picture.")] = None,
    provider: Annotated[
        list[str] | None, typer.Option(help="Only by this one (`backlot providers`); several in their order.")
    ] = None,
    no_fallback: Annotated[bool, typer.Option("--no-fallback", help="By no other where the first one fails.")] = False,
    max_cost: Annotated[str | None, typer.Option(help="Spend at most this, like 0.50.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the files go.")] = Path(),
    timeout: Annotated[
        float | None, typer.Option(help="Seconds to wait. Default: as long as the kind takes.", min=1)
    ] = None,
    as_object: Json = False,
) -> None:
    """Make pictures, videos, sounds, music or models and save them here."""
    made = kind or "image"
    wanted = {
        "kind": kind or (None if asset_type else "image"),
        "prompt": prompt,
        "asset_type": asset_type,
        "brand_kit_id": kit,
        "format": file_format,
        "duration_seconds": duration,
        "loop": True if loop else None,
        "instrumental": False if vocals else None,
        "genre": genre,
        "effect": effect,
        "max_triangles": max_triangles,
        "count": count,
        "seed": seed,
        "max_cost": max_cost,
        **route(provider or [], fallback=not no_fallback),
        **picture_size(size),
    }
    ready(output)
    with connect() as client:
        if made in KINDS:
            check_wish(client, made, provider or [])
        if inputs:
            wanted["inputs"] = inputs_of(client, inputs)
        job = client.create_job({name: value for name, value in wanted.items() if value is not None})
        with watching() as watch:
            for now in client.changes(job["id"], timeout=timeout or PATIENCE_S.get(made, 120.0)):
                watch.show(asset_type or made, now)
                job = now
        files = _save(client, job, output)
    if as_object:
        sys.stdout.write(as_json({**job, "files": files}) + "\n")
    else:
        for file in files:
            OUT.print(file, markup=False)
        for item in job["items"]:
            if item["flags"]:
                ERR.print(f"look at item {item['number']}: {', '.join(item['flags'])}", markup=False)
    if job["status"] != "completed":
        raise BacklotClientError(why(job))


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
    rows = [(j["id"], j["asset_type"] or j["kind"], j["status"], f"{j['progress']} %", cost(j)) for j in page["items"]]
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
    OUT.print(f"{found['id']}: {found['status']}, {found['progress']} %, {cost(found)}", markup=False)
    if found["error"]:
        OUT.print(why(found), markup=False)
    rows = [(i["number"], i["status"], i["provider"] or "", i["url"] or item_error(i)) for i in found["items"]]
    table(("item", "status", "provider", "file"), rows)


def cancel(job_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Ask a job to stop."""
    with connect() as client:
        found = client.cancel(job_id)
    cancellation = found.get("cancellation") or {}
    OUT.print(f"{found['id']}: {cancellation.get('state', found['status'])}", markup=False)


def redownload(
    job_id: Annotated[str, typer.Argument(metavar="ID")],
    item: Annotated[list[int] | None, typer.Option(help="Only this one; several in their order.", min=1)] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the files go.")] = Path(),
    timeout: Annotated[float, typer.Option(help="Seconds to wait.", min=1)] = 120.0,
    as_object: Json = False,
) -> None:
    """Fetch what was paid for and never arrived, and save it here; nothing is paid again."""
    ready(output)
    with connect() as client:
        client.redownload(job_id, item)
        found = client.redownloaded(job_id, timeout=timeout)
        asked = [one for one in found["items"] if one["redownload"] and (not item or one["number"] in item)]
        files = _save(client, {**found, "items": asked}, output)
    if as_object:
        sys.stdout.write(as_json({**found, "files": files}) + "\n")
    else:
        for file in files:
            OUT.print(file, markup=False)
    lost = [f"item {one['number']}: {one['redownload']['message']}" for one in asked if not one["outputs"]]
    if lost:
        raise BacklotClientError("; ".join(lost))


def kits(as_object: Json = False) -> None:
    """List brand kits."""
    with connect() as client:
        page = client.list_brand_kits(limit=100)
    if as_object:
        sys.stdout.write(as_json(page) + "\n")
        return
    rows = [(k["id"], k["name"], k["version"], " ".join(k["primary_colors"]), k["tone"]) for k in page["items"]]
    table(("kit", "name", "version", "colours", "tone"), rows)


def _save(client: Client, done: Job, folder: Path) -> list[str]:
    files = []
    for item in done["items"]:
        for place, output in enumerate(item["outputs"]):
            # Several outputs of one item, such as a second track, are told apart by what they are.
            which = "" if output["role"] == "primary" else f"-{output['role']}-{place}"
            stem = f"{done['asset_type'] or done['kind']}-{done['id'][-8:]}-{item['number']}{which}"
            name = f"{stem}.{SUFFIXES.get(output['mime'], 'bin')}"
            client.download(output["url"], folder / name, sha256=output["sha256"])
            files.append(str(folder / name))
    return files


def register(app: typer.Typer) -> None:
    """Puts the commands into `app`."""
    for command in (generate, jobs, job, cancel, redownload, kits):
        app.command()(command)
