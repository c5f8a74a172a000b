"""What notion-connector answers: whether it lives, whether it can work, and its metrics. It has no door for clients."""

from __future__ import annotations

from fastapi import FastAPI

from chassis.http import make_app


def make() -> FastAPI:
    """The internal application."""
    return make_app(title="notion-connector", public=False)
