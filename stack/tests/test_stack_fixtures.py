"""What the fixtures promise to every other test."""

from __future__ import annotations

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from stack.testing import KafkaServer, TopicFactory
from tests.kafka_client import read

pytestmark = pytest.mark.integration


async def test_a_database_of_a_test_is_empty_and_can_be_written(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        tables = await connection.fetch("SELECT * FROM pg_tables WHERE schemaname = 'public'")
        await connection.execute("CREATE TABLE jobs (id int PRIMARY KEY)")
        await connection.execute("INSERT INTO jobs VALUES (1)")
    finally:
        await connection.close()

    assert tables == []


async def test_the_database_of_the_next_test_is_empty_again(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("SELECT to_regclass('jobs')") is None
    finally:
        await connection.close()


def test_a_topic_of_a_test_has_a_name_of_its_own_and_the_partitions_asked_for(
    kafka_bootstrap: str, kafka_topic: TopicFactory
) -> None:
    first, second = kafka_topic("jobs", partitions=3), kafka_topic("jobs")

    topics = AdminClient({"bootstrap.servers": kafka_bootstrap}).list_topics(timeout=10).topics

    assert first != second
    assert len(topics[first].partitions) == 3
    assert len(topics[second].partitions) == 1


async def test_a_topic_nobody_made_is_not_made_by_writing_to_it(kafka_bootstrap: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    admin.list_topics("nobody-made-this", timeout=10)

    assert "nobody-made-this" not in admin.list_topics(timeout=10).topics


KNOWN = "backlot.fixture-test"


def test_what_a_test_leaves_on_a_topic_that_services_know(kafka_server: KafkaServer, kafka_bootstrap: str) -> None:
    kafka_server.create_topic(KNOWN, 2, {})
    producer = Producer({"bootstrap.servers": kafka_bootstrap})
    for partition in range(2):
        producer.produce(KNOWN, b"a job", partition=partition)
    assert producer.flush(30) == 0
    assert len(read(kafka_bootstrap, [KNOWN])) == 2


def test_is_not_heard_by_the_next_test(kafka_bootstrap: str) -> None:
    assert read(kafka_bootstrap, [KNOWN]) == []


async def test_what_is_written_to_a_topic_is_read_from_it(kafka_bootstrap: str, kafka_topic: TopicFactory) -> None:
    topic = kafka_topic()
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:
        await producer.send_and_wait(topic, b"a picture", key=b"job")

    async with AIOKafkaConsumer(topic, bootstrap_servers=kafka_bootstrap, auto_offset_reset="earliest") as consumer:
        record = await consumer.getone()

    assert (record.key, record.value) == (b"job", b"a picture")
