"""What a Kafka client that is not ours sees and does: it knows the topics by name, and no code of this house."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import confluent_kafka

PATIENCE_S = 20
Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it stands on its topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def texts(self) -> dict[str, str]:
        """The headers that are text."""
        return {name: value.decode("utf-8", "replace") for name, value in self.headers if value is not None}


def read(bootstrap: str, topics: Iterable[str]) -> list[Record]:
    """All that stands now on those of `topics` that there are."""
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": uuid.uuid4().hex,
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    try:
        known = consumer.list_topics(timeout=PATIENCE_S).topics
        open_ones = {(topic, number) for topic in known.keys() & set(topics) for number in known[topic].partitions}
        beginning = confluent_kafka.OFFSET_BEGINNING
        consumer.assign([confluent_kafka.TopicPartition(topic, number, beginning) for topic, number in open_ones])
        return _read(consumer, open_ones)
    finally:
        consumer.close()


def _read(consumer: Any, open_ones: set[tuple[str, int]]) -> list[Record]:
    found = []
    while open_ones:
        message = consumer.poll(PATIENCE_S)
        assert message is not None, "Kafka does not answer"
        error = message.error()
        if error is None:
            found.append(_record(message))
            continue
        assert error.code() == confluent_kafka.KafkaError._PARTITION_EOF, error
        open_ones.discard((message.topic(), message.partition()))
    return found


def _record(message: Any) -> Record:
    return Record(
        topic=message.topic(),
        partition=message.partition(),
        offset=message.offset(),
        key=message.key(),
        value=message.value(),
        headers=tuple(message.headers() or ()),
    )


def put(bootstrap: str, records: Iterable[Record]) -> list[Record]:
    """Puts records on their topics and partitions; answers them with the offsets they got."""
    producer = confluent_kafka.Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    placed: list[Record] = []

    def noting(record: Record) -> Callable[[Any, Any], None]:
        def delivered(error: Any, message: Any) -> None:
            assert error is None, error
            placed.append(replace(record, offset=message.offset()))

        return delivered

    for record in records:
        producer.produce(
            record.topic,
            value=record.value,
            key=record.key,
            partition=record.partition,
            headers=list(record.headers),
            on_delivery=noting(record),
        )
    assert producer.flush(PATIENCE_S) == 0, "Kafka does not answer"
    return placed


def partitions(bootstrap: str) -> dict[str, int]:
    """Topic → how many partitions it has."""
    admin = confluent_kafka.Consumer({"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex})
    try:
        topics = admin.list_topics(timeout=PATIENCE_S).topics
        return {name: len(topic.partitions) for name, topic in topics.items()}
    finally:
        admin.close()
