"""The five services, and what is started beside them: names, packages, ports. One line each, in their order."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One service. ``internal``, ``public``: ports as distances from the base port; ``wave``: who starts together."""

    name: str
    internal: int
    public: int | None = None
    wave: int = 0

    @property
    def package(self) -> str:
        """What ``python -m`` starts; also the name of its database."""
        return self.name.replace("-", "_")

    @property
    def prefix(self) -> str:
        """The beginning of its own settings in the environment."""
        return f"{self.package.upper()}_"


SERVICES = (
    ServiceSpec("cost-ledger", internal=14),
    ServiceSpec("storage-service", internal=13, public=1),
    ServiceSpec("provider-worker", internal=12),
    ServiceSpec("prompt-service", internal=11),
    # Last, so that the door opens when there is somebody behind it.
    ServiceSpec("api-gateway", internal=10, public=0, wave=1),
)
# No service: another platform, which is there for those who have a Notion (stack/connector.py).
CONNECTOR = ServiceSpec("notion-connector", internal=15, wave=2)
KAFKA_PORT, CONTROLLER_PORT, POSTGRES_PORT, SIMULATOR_PORT = 20, 21, 22, 23
OFFSETS = sorted(
    {KAFKA_PORT, CONTROLLER_PORT, POSTGRES_PORT, SIMULATOR_PORT}
    | {service.internal for service in (*SERVICES, CONNECTOR)}
    | {service.public for service in SERVICES if service.public is not None}
)
