"""Commands about manifests: run, get, show, list. Their pictures come into the tree of R117."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from backlot.choosing import check_wish, route
from backlot.client import TERMINAL, Client, Job
from backlot.connection import as_json, connect
from backlot.errors import BacklotClientError, RequestRefused
from backlot.items_file import WrongItems, read_items
from backlot.manifests import Brought, bring_pictures
from backlot.options import Json, Size, pairs, picture_size
from backlot.placing import ready
from backlot.showing import ERR, OUT, cost, item_error, table, watching, why

manifests = typer.Typer(help="Make the pictures of a project as one job.", no_args_is_help=True)

BILL_PATIENCE_S = 10.0
"""How long the last bill is waited for once all pictures are there."""
_IDENTIFIER = re.compile(r"[a-zA-Z0-9_-]{1,100}")
_JOB_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

JobId = Annotated[str, typer.Argument(metavar="ID")]
Out = Annotated[Path, typer.Option("--out", "--output", "-o", help="The folder that the tree of pictures is in.")]
Patience = Annotated[float, typer.Option("--timeout", help="Seconds to wait for the pictures.", min=1)]


def _identifier(value: str) -> str:
    if not _IDENTIFIER.fullmatch(value):
        raise typer.BadParameter("has to be 1 to 100 letters, digits, _ and -")
    return value


@manifests.command()
def run(
    channel: Annotated[str, typer.Option(callback=_identifier, help="Whose project it is.")],
    project: Annotated[str, typer.Option(callback=_identifier, help="Whose pictures they are.")],
    topic: Annotated[
        str | None, typer.Option(help="What it is about, like a forest at night. Without a direction: generic items.")
    ] = None,
    story_direction: Annotated[
        str | None, typer.Option(help="Where the story goes. Without a topic: generic items.")
    ] = None,
    atmosphere: Annotated[
        str | None, typer.Option(help="What every prompt begins with; made of the topic when left out.")
    ] = None,
    items: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="YAML, JSON or CSV: group, name, prompt. 22 of topic and direction without."),
    ] = None,
    brand_kit: Annotated[str | None, typer.Option(help="Id of the brand kit (`backlot kits`).")] = None,
    style_capsule: Annotated[str | None, typer.Option(help="Id of the style capsule.")] = None,
    provider: Annotated[
        list[str] | None, typer.Option(help="Only by this one (`backlot providers`); several in their order.")
    ] = None,
    size: Size = None,
    max_cost: Annotated[str | None, typer.Option(help="Spend at most this, like 1.50.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Do not make again what is there, whole; or make all anew.")
    ] = True,
    next_step: Annotated[str | None, typer.Option(help="Told to others when all is done.")] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Several: once more.")] = None,
    out: Out = Path("workspace"),
    timeout: Patience = 1800.0,
    as_object: Json = False,
) -> None:
    """Make the pictures of a project and save them below --out."""
    if items is None and topic is None and story_direction is None:
        raise typer.BadParameter("give --topic and --story-direction, or --items")
    wanted = {
        "topic": topic,
        "story_direction": story_direction,
        "atmosphere": atmosphere,
        "items": _items(items),
        "brand_kit_id": brand_kit,
        "style_capsule_id": style_capsule,
        "max_cost": max_cost,
        "resume": resume,
        "next_step": next_step,
        "labels": pairs("--label", label or []) or None,
        **route(provider or [], fallback=True),
        **picture_size(size),
    }
    ready(out)
    with connect() as client:
        check_wish(client, "image", provider or [])
        try:
            job = client.manifest(
                channel, project, **{name: value for name, value in wanted.items() if value is not None}
            )
        except RequestRefused as refused:
            _say_what_runs(refused, out)
            raise
        _finish(client, job, out, timeout, as_object=as_object)


@manifests.command()
def get(job_id: JobId, out: Out = Path("workspace"), timeout: Patience = 1800.0, as_object: Json = False) -> None:
    """Follow a manifest until it has ended and save its pictures below --out."""
    ready(out)
    with connect() as client:
        _finish(client, _manifest(client, job_id), out, timeout, as_object=as_object)


@manifests.command()
def show(job_id: JobId, as_object: Json = False) -> None:
    """Show a manifest with its pictures."""
    with connect() as client:
        job = _manifest(client, job_id)
    if as_object:
        sys.stdout.write(as_json(job) + "\n")
        return
    OUT.print(f"{job['id']}: {_project(job)}, {job['status']}, {job['progress']} %, {cost(job)}", markup=False)
    if job["error"]:
        OUT.print(why(job), markup=False)
    rows = [
        (i["number"], i["group"] or "", i["name"] or "", i["status"], i["cost"]["actual"] or "", i["path"] or "")
        for i in job["items"]
    ]
    table(("item", "group", "name", "status", "cost", "path"), rows)
    _complain(job)


@manifests.command("list")
def list_all(
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    as_object: Json = False,
) -> None:
    """List manifests, newest first."""
    with connect() as client:
        page = client.list_manifests(limit=limit)
    if as_object:
        sys.stdout.write(as_json(page) + "\n")
        return
    rows = [(j["id"], _project(j), j["status"], f"{j['progress']} %", *_counts(j), cost(j)) for j in page["items"]]
    table(("job", "project", "status", "progress", "generated", "skipped", "failed", "cost"), rows)
    OUT.print(f"{len(rows)} of {page['total']}")


def _items(file: Path | None) -> list[dict[str, Any]] | None:
    try:
        return None if file is None else read_items(file)
    except WrongItems as wrong:
        raise typer.BadParameter(str(wrong)) from wrong


def _manifest(client: Client, job_id: str) -> Job:
    job = client.get_job(job_id)
    if not job.get("manifest"):
        raise BacklotClientError(f"{job_id} is no manifest; `backlot job {job_id}` shows it")
    return job


def _say_what_runs(refused: RequestRefused, out: Path) -> None:
    # A project may be called like a job; the job stands last.
    named = _JOB_ID.findall(refused.detail)
    if refused.code == "CONFLICT" and named:
        raise BacklotClientError(
            f"{refused.detail}\nfollow it:  backlot manifest get {named[-1]} --out {out}\n"
            f"end it:     backlot cancel {named[-1]}"
        ) from refused


def _finish(client: Client, job: Job, out: Path, timeout: float, *, as_object: bool) -> NoReturn:
    """Follows the job to its end, saves its pictures, says what came of it, and ends with the status of that."""
    try:
        job = _ended(client, job, timeout)
        brought = bring_pictures(client, job, out)
    except KeyboardInterrupt:
        _say_how_to_go_on(job["id"], out)
        raise
    except BacklotClientError:
        _say_how_to_go_on(job["id"], out)
        raise
    if as_object:
        sys.stdout.write(as_json(_as_object(job, brought)) + "\n")
    else:
        _tell(job, brought, out)
    _complain(job)
    for number, problem in brought.problems.items():
        ERR.print(f"item {number} could not be saved: {problem}", markup=False)
    raise typer.Exit(0 if job["status"] == "completed" and not brought.problems else 1)


def _ended(client: Client, job: Job, timeout: float) -> Job:
    with watching() as watch:
        for now in client.changes(job["id"], timeout=timeout):
            watch.show("manifest", _with_count(now))
    return client.settled(job["id"], timeout=BILL_PATIENCE_S)


def _with_count(job: Job) -> Job:
    """The job, whose stage says how many of its pictures have ended."""
    ended = sum(item["status"] in {*TERMINAL, "skipped"} for item in job["items"])
    if not job["items"] or job["status"] in TERMINAL:
        return job
    told = (job["stage"], f"{ended} of {len(job['items'])} pictures")
    return {**job, "stage": ", ".join(part for part in told if part)}


def _say_how_to_go_on(job_id: str, out: Path) -> None:
    ERR.print(
        f"the job goes on; have its pictures:  backlot manifest get {job_id} --out {out}\n"
        f"or once it has ended, with what is there kept:  backlot manifest run ... --resume",
        markup=False,
    )


def _as_object(job: Job, brought: Brought) -> dict[str, Any]:
    return {
        "id": job["id"],
        "status": job["status"],
        **job["manifest"],
        **job["summary"],
        "settled": job["cost"]["settled"],
        "files": [str(file) for file in brought.files],
        "kept": brought.kept,
        "warnings": job["warnings"],
        "failures": [
            {"number": item["number"], "name": item["name"], "group": item["group"], "error": item["error"]}
            for item in job["items"]
            if item["error"]
        ],
        "not_saved": [{"number": number, "reason": reason} for number, reason in brought.problems.items()],
    }


def _tell(job: Job, brought: Brought, out: Path) -> None:
    for name in ("generated", "skipped", "failed", "total_cost_usd"):
        OUT.print(f"{name}: {job['summary'][name]}", markup=False)
    OUT.print(f"files: {len(brought.files)} below {out}", markup=False)
    if job["manifest"]["next_step"]:
        OUT.print(f"next step: {job['manifest']['next_step']}", markup=False)
    if not job["cost"]["settled"]:
        ERR.print("the cost is not final: a bill is still open", markup=False)


def _complain(job: Job) -> None:
    """Warnings of the job and its items, and of each picture that is not there the reason."""
    for warning in job["warnings"]:
        ERR.print(f"warning: {warning}", markup=False)
    for item in job["items"]:
        for warning in item["warnings"]:
            ERR.print(f"warning: {_picture(item)}: {warning}", markup=False)
        if item["error"]:
            ERR.print(f"{item['status']}: {_picture(item)}: {item_error(item)}", markup=False)
    if job["error"]:
        ERR.print(why(job), markup=False)


def _picture(item: Mapping[str, Any]) -> str:
    return "/".join(part for part in (item["group"], item["name"]) if part) or f"item {item['number']}"


def _project(job: Mapping[str, Any]) -> str:
    return f"{job['manifest']['channel']}/{job['manifest']['project']}"


def _counts(job: Mapping[str, Any]) -> list[Any]:
    return [job["summary"][name] for name in ("generated", "skipped", "failed")]


def register(app: typer.Typer) -> None:
    """Puts the commands into `app`."""
    app.add_typer(manifests, name="manifest")
