"""The command `backlot`.

Exit status: 0 done, 1 it did not come out, 2 what was asked for is wrong as it stands, 130 interrupted.
"""

from __future__ import annotations

import sys

import typer

from backlot import (
    job_commands,
    manifest_commands,
    provider_commands,
    system_commands,
    template_commands,
    upload_commands,
    webhook_commands,
)
from backlot.errors import BacklotClientError, RequestRefused
from backlot.showing import ERR
from stack.errors import StackError

_NOT_AS_IT_STANDS = 422

app = typer.Typer(
    name="backlot",
    help="One API and one event contract in front of every media model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
system_commands.register(app)
job_commands.register(app)
manifest_commands.register(app)
template_commands.register(app)
provider_commands.register(app)
upload_commands.register(app)
webhook_commands.register(app)


def main() -> None:
    """The entry point: errors that a user can act on are told in words, without a traceback."""
    try:
        app()
    except (BacklotClientError, StackError) as error:
        ERR.print(str(error), markup=False, style="red" if sys.stderr.isatty() else None)
        sys.exit(2 if isinstance(error, RequestRefused) and error.status == _NOT_AS_IT_STANDS else 1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
