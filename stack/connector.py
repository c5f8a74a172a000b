"""The Notion connector as a process of the system: started where there is a token, told nothing of the house."""

from __future__ import annotations

from collections.abc import Mapping

from stack.services import CONNECTOR, SERVICES, ServiceSpec
from stack.simulator import without_keys

TOKEN_SETTING = "NOTION_TOKEN"  # noqa: S105 - a variable's name
_ITS_OWN = ("NOTION_", CONNECTOR.prefix)
_OF_THE_HOUSE = ("BACKLOT_SECRET", "BACKLOT_OBJECTS_DIR", *(spec.prefix for spec in SERVICES))


def started(environ: Mapping[str, str]) -> tuple[ServiceSpec, ...]:
    """The five services, and the connector where Notion's token is set."""
    return (*SERVICES, CONNECTOR) if environ.get(TOKEN_SETTING) else SERVICES


def told(shared: Mapping[str, str], gateway: str) -> dict[str, str]:
    """What the connector gets of the environment: its own settings, the gateway's address, and a key if it has none."""
    keyless = {name: value for name, value in without_keys(shared).items() if not name.startswith(_OF_THE_HOUSE)}
    own = {name: value for name, value in shared.items() if name.startswith(_ITS_OWN) and value}
    key = {"NOTION_CONNECTOR_API_KEY": shared["API_GATEWAY_BOOTSTRAP_KEY"]}
    return {**keyless, **key, **own, "NOTION_CONNECTOR_GATEWAY_URL": gateway}


def kept_from_services(shared: Mapping[str, str]) -> dict[str, str]:
    """What the five services get: they know of no Notion."""
    return {name: value for name, value in shared.items() if not name.startswith(_ITS_OWN)}
