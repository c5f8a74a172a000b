"""``python -m stack.prefetch``: fetch and prepare what Kafka needs, so that no later start has to.

It fetches the pinned jars, then runs a broker once with a little traffic and lets Java keep what it learned of the
classes: later brokers start in half the time. Both go into the cache that every checkout shares; where they are
already, this does nothing.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stack.errors import StackError
from stack.jars import alone_in, cache_folder, fetch
from stack.java import CLASSES_ONLY, archive_path
from stack.kafka import Kafka
from stack.ports import free_ports

TOPIC = "rehearsal"
RECORDS = 2000


def main() -> int:
    """Exit status: 0 when all is there, 1 with a sentence when it cannot be had."""
    logging.basicConfig(level=logging.CRITICAL)
    cache = cache_folder()
    try:
        fetch(cache, progress=_show)
        if not archive_path(cache).exists():
            print("kafka: preparing a fast start (once, about ten seconds)", flush=True)
            asyncio.run(make_archive(cache))
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _show(done: int, of: int) -> None:
    if sys.stdout.isatty():
        print(f"\rkafka: {done} of {of} jars", end="\n" if done == of else "", flush=True)
    elif done in {0, of}:
        print(f"kafka: {done} of {of} jars", flush=True)


async def make_archive(cache: Path) -> None:
    """Make the class archive beside its place and put it there whole. Several processes may call it at once."""
    target = archive_path(cache)
    target.parent.mkdir(parents=True, exist_ok=True)
    with alone_in(target.parent), tempfile.TemporaryDirectory(dir=target.parent, prefix=".incoming-") as name:
        if target.exists():
            return
        made = Path(name) / target.name
        broker = Kafka(
            Path(name) / "kafka",
            *free_ports(2),
            cache=cache,
            java_options=[*CLASSES_ONLY, f"-XX:AOTCacheOutput={made}"],
        )
        await broker.start()
        try:
            await _rehearse(broker.bootstrap)
        finally:
            await broker.stop(grace=120)  # Java writes the archive when it ends
        if not made.exists():
            raise StackError(f"Java did not write {made}:\n{broker.log.read_text()[-2000:]}")
        made.replace(target)


async def _rehearse(bootstrap: str) -> None:
    """Write, read and commit a little, so that the classes of real work are in the archive."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, 3, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True) as producer:
        for number in range(RECORDS):
            await producer.send(TOPIC, b"x" * 400, key=str(number).encode())
        await producer.flush()
    async with AIOKafkaConsumer(
        TOPIC, bootstrap_servers=bootstrap, group_id=TOPIC, auto_offset_reset="earliest", enable_auto_commit=False
    ) as consumer:
        seen = 0
        while seen < RECORDS:
            batches = await consumer.getmany(timeout_ms=1000)
            seen += sum(map(len, batches.values()))
            await consumer.commit()


if __name__ == "__main__":
    sys.exit(main())
