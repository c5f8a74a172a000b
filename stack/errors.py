"""What can go wrong when the system of one machine is started, stopped or looked at."""

from __future__ import annotations

from collections.abc import Sequence


class StackError(Exception):
    """Something stack/ was asked for and cannot do; the message is a sentence for the person who asked."""

    code = "STACK"


class FolderHeldError(StackError):
    """Another living process owns the folder."""

    code = "FOLDER_HELD"


class DownloadError(StackError):
    """A pinned file could not be fetched, or what came is not what was pinned."""

    code = "DOWNLOAD"


class ServerError(StackError):
    """A server or a service did not start, or ended while it was needed."""

    code = "SERVER"


class StartRefusedError(StackError):
    """Nothing was left running, because of ``problems``: every one that was found, not only the first."""

    code = "START_REFUSED"

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))
