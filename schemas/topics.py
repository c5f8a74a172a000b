"""The topic table: every topic, who owns it, what its key is, how long it is kept and who hears it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

API_GATEWAY = "api-gateway"
PROMPT_SERVICE = "prompt-service"
PROVIDER_WORKER = "provider-worker"
STORAGE_SERVICE = "storage-service"
COST_LEDGER = "cost-ledger"
SERVICES = (API_GATEWAY, PROMPT_SERVICE, PROVIDER_WORKER, STORAGE_SERVICE, COST_LEDGER)
OTHER_PLATFORMS = "other platforms"
OPERATORS = "operators"


@dataclass(frozen=True, slots=True)
class Topic:
    """One Kafka topic. `key` says what its records are keyed by, `heard_by` which services (or outsiders) read it."""

    name: str
    owner: str
    key: Literal["job id", "asset id", "budget id", "attempt id", "source position"]
    says: str
    heard_by: tuple[str, ...]
    partitions: int = 6
    retention_days: int = 7
    public: bool = False

    @property
    def retention_ms(self) -> int:
        """Retention as Kafka's `retention.ms` wants it."""
        return self.retention_days * 24 * 3600 * 1000


JOBS = Topic(
    "backlot.jobs", API_GATEWAY, "job id", "a job was accepted, or asked to stop", (PROMPT_SERVICE, PROVIDER_WORKER)
)
PROMPTS = Topic(
    "backlot.prompts",
    PROMPT_SERVICE,
    "job id",
    "finished prompts of a job, or why there are none",
    (PROVIDER_WORKER, API_GATEWAY),
)
GENERATIONS = Topic(
    "backlot.generations",
    PROVIDER_WORKER,
    "job id",
    "what an item's attempts cost and came to",
    (STORAGE_SERVICE, COST_LEDGER, API_GATEWAY),
)
ASSETS = Topic(
    "backlot.assets",
    STORAGE_SERVICE,
    "job id",
    "assets stored, shown, hidden, deleted",
    (API_GATEWAY, PROVIDER_WORKER),
)
COSTS = Topic("backlot.costs", COST_LEDGER, "job id", "money held, refused, captured", (PROVIDER_WORKER, API_GATEWAY))
PROVIDER_CALLBACKS = Topic(
    "backlot.provider-callbacks",
    API_GATEWAY,
    "attempt id",
    "a provider called back",
    (PROVIDER_WORKER,),
    partitions=3,
)
JOB_REQUESTS = Topic(
    "backlot.job-requests",
    OTHER_PLATFORMS,
    "job id",
    "another platform asks for a job",
    (API_GATEWAY,),
    partitions=3,
    public=True,
)
JOB_RESULTS = Topic(
    "backlot.job-results",
    API_GATEWAY,
    "job id",
    "what became of a job, for the outside",
    (OTHER_PLATFORMS,),
    public=True,
)
DEAD_LETTERS = Topic(
    "backlot.dead-letters",
    OPERATORS,
    "source position",
    "records that nobody could handle",
    (OPERATORS,),
    partitions=3,
    retention_days=30,
)

TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        JOBS,
        PROMPTS,
        GENERATIONS,
        ASSETS,
        COSTS,
        PROVIDER_CALLBACKS,
        JOB_REQUESTS,
        JOB_RESULTS,
        DEAD_LETTERS,
    )
}
