"""A web server of another origin: the page that uses the system's assets, and Three.js for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

from tests.outside.tools import HERE, PACKAGES

THREE = "/three/"


class Handler(SimpleHTTPRequestHandler):
    """Files of the page, and below `/three/` those of the package."""

    # What a browser takes for a module must not depend on the machine's table of types.
    extensions_map = {".html": "text/html", ".js": "text/javascript"}  # noqa: RUF012 - as its base class has it

    def translate_path(self, path: str) -> str:
        """The file that an address stands for."""
        asked = urlsplit(path).path
        folder = PACKAGES / "three" if asked.startswith(THREE) else HERE / "page"
        found = (folder / asked.removeprefix(THREE).lstrip("/")).resolve()
        return str(found if found.is_relative_to(folder) else folder / "nothing")

    def log_message(self, *_: object) -> None:
        """Nothing is written into the tests' output."""


@contextmanager
def page() -> Iterator[str]:
    """The page's address, while it is served."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/index.html"
    finally:
        server.shutdown()
        server.server_close()
