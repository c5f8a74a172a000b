"""The Python client of Backlot, and its command line."""

from backlot.client import Client
from backlot.errors import BacklotClientError, RequestRefused, Unreachable

__all__ = ["BacklotClientError", "Client", "RequestRefused", "Unreachable"]
