"""The Python client of Backlot, and its command line."""

from backlot.client import Client
from backlot.errors import BacklotClientError, RequestRefused, Unreachable
from backlot.manifests import Brought, bring_pictures

__all__ = ["BacklotClientError", "Brought", "Client", "RequestRefused", "Unreachable", "bring_pictures"]
