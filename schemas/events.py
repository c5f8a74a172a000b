"""Every event there is, by class and by CloudEvents type."""

from __future__ import annotations

from schemas.assets import AssetDeleted, AssetStored, AssetStoreFailed, AssetVisibilityChanged
from schemas.callbacks import ProviderCallbackReceived
from schemas.costs import BudgetRefused, BudgetThresholdCrossed, CostRecorded, CostReserved
from schemas.dead_letters import DeadLettered
from schemas.event import Event
from schemas.generations import (
    GenerationCancelled,
    GenerationCompleted,
    GenerationFailed,
    GenerationProgressed,
    GenerationQuoted,
    GenerationSettled,
    GenerationSkipped,
    GenerationStarted,
)
from schemas.jobs import JobCancelRequested, JobRedownloadRequested, JobRequested
from schemas.prompts import PromptsPrepared, PromptsRejected
from schemas.requests import JobSubmitted
from schemas.results import (
    JobAccepted,
    JobCancelled,
    JobCompleted,
    JobFailed,
    JobPartial,
    JobRefused,
    JobSettled,
)

EVENTS: tuple[type[Event], ...] = (
    JobRequested,
    JobCancelRequested,
    JobRedownloadRequested,
    PromptsPrepared,
    PromptsRejected,
    GenerationQuoted,
    GenerationStarted,
    GenerationProgressed,
    GenerationSkipped,
    GenerationCompleted,
    GenerationFailed,
    GenerationCancelled,
    GenerationSettled,
    AssetStored,
    AssetStoreFailed,
    AssetVisibilityChanged,
    AssetDeleted,
    CostReserved,
    BudgetRefused,
    CostRecorded,
    BudgetThresholdCrossed,
    ProviderCallbackReceived,
    JobSubmitted,
    JobAccepted,
    JobRefused,
    JobCompleted,
    JobPartial,
    JobFailed,
    JobCancelled,
    JobSettled,
    DeadLettered,
)
BY_TYPE: dict[str, type[Event]] = {event.type: event for event in EVENTS}

__all__ = [
    "BY_TYPE",
    "EVENTS",
    "AssetDeleted",
    "AssetStoreFailed",
    "AssetStored",
    "AssetVisibilityChanged",
    "BudgetRefused",
    "BudgetThresholdCrossed",
    "CostRecorded",
    "CostReserved",
    "DeadLettered",
    "GenerationCancelled",
    "GenerationCompleted",
    "GenerationFailed",
    "GenerationProgressed",
    "GenerationQuoted",
    "GenerationSettled",
    "GenerationSkipped",
    "GenerationStarted",
    "JobAccepted",
    "JobCancelRequested",
    "JobCancelled",
    "JobCompleted",
    "JobFailed",
    "JobPartial",
    "JobRedownloadRequested",
    "JobRefused",
    "JobRequested",
    "JobSettled",
    "JobSubmitted",
    "PromptsPrepared",
    "PromptsRejected",
    "ProviderCallbackReceived",
]
