"""What this service reads from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, AnyHttpUrl, Field, ValidationInfo, field_validator

from chassis.errors import StartError
from chassis.settings import DatabaseSettings, ServiceSettings, service_config
from media import SigningMaterial, UnusableMaterial
from media.signing_keys import read_signing_material
from provider_worker.route_file import read_routes


class OperatorSettings(DatabaseSettings):
    """Settings of `python -m provider_worker bills`."""

    model_config = service_config("PROVIDER_WORKER_")


class Settings(ServiceSettings):
    """Settings of provider-worker; see `chassis.settings` for those that all services have."""

    model_config = service_config("PROVIDER_WORKER_")

    objects_dir: Path = Field(
        validation_alias=AliasChoices("BACKLOT_OBJECTS_DIR", "objects_dir"),
        description="folder of the object store, shared with storage-service",
    )
    storage_service_url: AnyHttpUrl = Field(
        validation_alias=AliasChoices("STORAGE_SERVICE_URL", "storage_service_url"),
        description="internal address of storage-service",
    )
    input_hosts: str = Field(
        default="*",
        description="hosts that clients may name in addresses of inputs, with commas between; * is every public one",
    )
    sandbox_dir: Path = Field(
        description="folder of the sandbox provider: its own bill, and for a while what it builds on and made"
    )
    sandbox_latency_seconds: float = Field(default=0.0, ge=0, description="how long the sandbox takes to answer")
    sandbox_instant: bool = Field(
        default=False, description="the sandbox answers with pictures that cost nothing to draw, for benches"
    )
    routes_file: Path | None = Field(default=None, description="routes, providers and prices; ours when not set")
    providers: str = Field(
        default="", description="use only these providers, by name with commas between; all that have a key when empty"
    )
    images_per_tenant: int | None = Field(
        default=None, ge=1, description="images made at once for one tenant at one provider, over all replicas"
    )
    callback_url: AnyHttpUrl | None = Field(
        default=None,
        description="public address of api-gateway, e.g. https://api.example; without it no provider is asked to call",
    )
    hands: int = Field(default=128, ge=1, le=5000, description="tasks this process works on at once")
    lease_seconds: float = Field(default=30.0, ge=1, le=600, description="how long a claimed task is left alone")
    quote_age_seconds: float = Field(
        default=60.0, gt=0, description="a quote without an answer is said again after this"
    )
    staged_age_seconds: float = Field(
        default=7 * 24 * 3600.0, ge=60, description="staged bytes are deleted so long after their attempt ended"
    )
    provenance_sign: bool = Field(default=False, description="sign what is made with content credentials (C2PA)")
    provenance_cert: Path | None = Field(
        default=None, description="the certificate to sign with and those above it, in PEM"
    )
    provenance_key: Path | None = Field(
        default=None,
        validate_default=True,
        description="the private key of that certificate, in PEM, without a password",
    )

    @field_validator("provenance_key")
    @classmethod
    def _can_sign(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        certificate = info.data.get("provenance_cert")
        if not info.data.get("provenance_sign"):
            return value
        if value is None or certificate is None:
            raise ValueError("and PROVIDER_WORKER_PROVENANCE_CERT have to be set to sign")
        try:
            read_signing_material(certificate, value)
        except UnusableMaterial as error:
            raise ValueError("\n".join(f"cannot be used: {problem}" for problem in error.problems)) from error
        return value

    @field_validator("routes_file")
    @classmethod
    def _is_whole(cls, value: Path | None) -> Path | None:
        # Read here as well as by the wiring, so that it is told together with the other settings that are wrong.
        try:
            read_routes(value)
        except StartError as error:
            raise ValueError("\n".join(error.problems)) from error
        return value

    def signing_material(self) -> SigningMaterial | None:
        """With what is signed; None where nothing is."""
        if not self.provenance_sign or self.provenance_cert is None or self.provenance_key is None:
            return None
        return read_signing_material(self.provenance_cert, self.provenance_key)

    @property
    def only(self) -> frozenset[str]:
        """The names in `providers`."""
        return frozenset(name.strip() for name in self.providers.split(",") if name.strip())

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names in `input_hosts`."""
        return tuple(name.strip().lower() for name in self.input_hosts.split(",") if name.strip())
