"""Which partition a key belongs to: the Java clients' default, so that anybody can compute it."""

from __future__ import annotations

from functools import lru_cache
from struct import unpack

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


@lru_cache(maxsize=16_384)
def murmur2(key: bytes) -> int:
    """Kafka's 32-bit murmur2 of `key` (org.apache.kafka.common.utils.Utils). aiokafka's own takes 15 us a key."""
    length = len(key)
    words = length // 4
    h = _SEED ^ length
    for k in unpack(f"<{words}I", key[: words * 4]):
        k = k * _M & _MASK  # noqa: PLW2901 - the algorithm as it is written down
        h = (h * _M & _MASK) ^ ((k ^ k >> 24) * _M & _MASK)
    rest = key[words * 4 :]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of `key` among `partitions`."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
