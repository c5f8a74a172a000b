"""PostgreSQL connection strings in every form people write them."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

_SCHEMES = ("postgresql", "postgres")


def raw_dsn(dsn: str) -> str:
    """`dsn` as `asyncpg.connect` wants it: without a SQLAlchemy driver in the scheme."""
    scheme, separator, rest = dsn.partition("://")
    return f"{scheme.partition('+')[0]}{separator}{rest}"


def check_dsn(dsn: str) -> str:
    """`dsn` unchanged; raises ValueError, without repeating its password, when it names no PostgreSQL database."""
    parts = urlsplit(raw_dsn(dsn))
    if parts.scheme not in _SCHEMES:
        raise ValueError("must begin with postgresql://")
    if not parts.path.strip("/"):
        raise ValueError("names no database: postgresql://user:password@host:5432/database")
    if not parts.hostname and "host" not in parse_qs(parts.query):
        raise ValueError(
            "names no host: postgresql://user@host/database or postgresql://user@/database?host=/directory"
        )
    try:
        _ = parts.port
    except ValueError as error:
        raise ValueError("has a port that is no number from 0 to 65535") from error
    return dsn


def with_database(dsn: str, database: str) -> str:
    """`dsn` pointing at another database of the same server."""
    parts = urlsplit(raw_dsn(dsn))
    return parts._replace(path="/" + database).geturl() if parts.netloc else _without_netloc(dsn, database)


def _without_netloc(dsn: str, database: str) -> str:
    _, _, query = dsn.partition("?")
    return f"postgresql:///{database}?{query}"
