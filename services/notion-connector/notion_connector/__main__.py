"""Start: `python -m notion_connector`."""

from __future__ import annotations

from chassis.service import run
from notion_connector.app import build
from notion_connector.settings import Settings

if __name__ == "__main__":
    run(build, Settings)
