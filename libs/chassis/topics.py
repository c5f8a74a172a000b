"""Makes the topics a service needs, from the topic table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from chassis.outbox import DEAD_LETTER_LIMIT, EVENT_LIMIT
from chassis.telemetry import get_logger
from schemas.topics import DEAD_LETTERS, Topic

log = get_logger()

_REPLICAS = 3
# Kafka measures a batch with its own framing; an event of exactly the limit must still fit.
_FRAMING = 64 * 1024


async def provision(bootstrap: str, topics: Iterable[Topic]) -> None:
    """Creates those of `topics` that are missing; leaves the others as they are.

    Replication is 3, or the number of brokers where there are fewer. A topic this service may not create is logged and
    left to its owner. Raises `KafkaError` or `OSError` when Kafka cannot be reached.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap.split(","), request_timeout_ms=10_000)
    await admin.start()
    try:
        await _create_missing(admin, list(topics))
    finally:
        await admin.close()


async def _create_missing(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> None:
    present = set(await admin.list_topics())
    missing = [topic for topic in topics if topic.name not in present]
    if not missing:
        return
    brokers = len((await admin.describe_cluster())["brokers"])
    response = await admin.create_topics([_new(topic, min(_REPLICAS, brokers)) for topic in missing])
    for name, code, *_ in response.topic_errors:
        _report(name, for_code(code))


def _report(name: str, error: type[KafkaError]) -> None:
    if error.errno == 0:
        log.info("topic_created", topic=name)
    elif error is not TopicAlreadyExistsError:
        log.error("topic_not_created", topic=name, reason=error.__name__)


def _new(topic: Topic, replicas: int) -> NewTopic:
    limit = DEAD_LETTER_LIMIT if topic.name == DEAD_LETTERS.name else EVENT_LIMIT
    return NewTopic(
        name=topic.name,
        num_partitions=topic.partitions,
        replication_factor=replicas,
        topic_configs={
            "cleanup.policy": "delete",
            "retention.ms": str(topic.retention_ms),
            "max.message.bytes": str(limit + _FRAMING),
            "min.insync.replicas": str(max(1, replicas - 1)),
            "unclean.leader.election.enable": "false",
        },
    )
