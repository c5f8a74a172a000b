"""What a module may not do, wherever it stands. A rule is shown to see what it forbids before it is trusted."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture import code_rules as rules
from tests.architecture.source import ROOT, at, is_test, modules, service_modules

# The sandbox is a provider, and its bill a provider's own: outside our databases, to compare the ledger with.
SANDBOX_BILL = ROOT / "services/provider-worker/provider_worker/adapters/sandbox/store.py"
SEEN = [
    pytest.param(rules.swallowed_errors, "try:\n    x()\nexcept Exception:\n    pass", id="except Exception: pass"),
    pytest.param(rules.swallowed_errors, "try:\n    x()\nexcept:\n    'why'\n    pass", id="bare except"),
    pytest.param(
        rules.swallowed_errors, "for a in b:\n    try: x()\n    except (OSError, Exception): continue", id="in"
    ),
    pytest.param(rules.swallowed_errors, "with contextlib.suppress(Exception):\n    x()", id="suppress(Exception)"),
    pytest.param(rules.pickled_data, "from pickle import loads", id="from pickle"),
    pytest.param(rules.pickled_data, "import os, marshal", id="import marshal"),
    pytest.param(rules.unsafe_yaml, "yaml.load(text, Loader=yaml.Loader)", id="yaml.load"),
    pytest.param(rules.shell_commands, "subprocess.run('ls', shell=True)", id="shell=True"),
    pytest.param(rules.shell_commands, "subprocess.run('ls', shell=anything)", id="shell=anything"),
    pytest.param(rules.shell_commands, "os.system('ls')", id="os.system"),
    pytest.param(rules.sql_statements, "q = '''\n  SELECT 1\n  FROM t'''", id="SQL text"),
    pytest.param(rules.sql_statements, "await c.execute('UPDATE t SET a = 1')", id="UPDATE"),
    pytest.param(rules.sql_statements, "q = 'select 1\\n  from t'", id="SQL in small letters"),
    pytest.param(rules.sql_statements, "q = 'insert into t values (1)'", id="insert in small letters"),
    pytest.param(rules.sql_statements, "q = 'with a as (select 1) table a'", id="with in small letters"),
    pytest.param(rules.sql_statements, "q = 'Update t'\nr = 'DELETE from t'", id="mixed letters"),
    pytest.param(rules.sql_statements, "import sqlite3", id="import sqlite3"),
    pytest.param(rules.sql_statements, "from sqlalchemy import select", id="from sqlalchemy"),
    pytest.param(rules.sql_statements, "import sqlalchemy as sa", id="import sqlalchemy"),
    pytest.param(rules.brokers_by_default, "KafkaBroker('k:9092')", id="no policy"),
    pytest.param(rules.brokers_by_default, "kafka.KafkaBroker('k:9092', ack_policy=None)", id="policy None"),
    pytest.param(rules.subscriptions, "@broker.subscriber('t')\ndef f(m): ...", id="subscriber"),
    pytest.param(rules.subscriptions, "AIOKafkaConsumer('t')", id="consumer"),
    pytest.param(rules.rooms_without_meaning, "class JobManager: ...", id="JobManager"),
    pytest.param(rules.rooms_without_meaning, "class BaseHandler: ...", id="BaseHandler"),
    pytest.param(rules.rooms_without_meaning, "class _Utils: ...", id="_Utils"),
    pytest.param(rules.log_events_in_prose, "log.info(f'stored {asset}')", id="f-string"),
    pytest.param(rules.log_events_in_prose, "log.warning('Kafka is away', retry_in=1)", id="sentence"),
    pytest.param(rules.money_as_float, "class Hold:\n    amount_micros: float | None = None", id="float field"),
    pytest.param(rules.money_as_float, "def capture(amount_micros: Decimal): ...", id="Decimal argument"),
]

PASSED = [
    pytest.param(rules.swallowed_errors, "try:\n    x()\nexcept Exception:\n    log.exception('x')", id="logged"),
    pytest.param(rules.swallowed_errors, "try:\n    x()\nexcept FileNotFoundError:\n    pass", id="narrow"),
    pytest.param(rules.swallowed_errors, "with suppress(ProcessLookupError):\n    x()", id="narrow suppress"),
    pytest.param(rules.pickled_data, "import json", id="json"),
    pytest.param(rules.unsafe_yaml, "yaml.safe_load(text)", id="safe_load"),
    pytest.param(rules.shell_commands, "subprocess.run(['ls'], shell=False)", id="shell=False"),
    pytest.param(rules.sql_statements, "from sqlalchemy.ext.asyncio import AsyncConnection", id="AsyncConnection"),
    pytest.param(rules.sql_statements, "from sqlalchemy.exc import DBAPIError", id="DBAPIError"),
    pytest.param(rules.sql_statements, "'Select a brand kit from the list'", id="prose"),
    pytest.param(rules.brokers_by_default, "KafkaBroker(url, ack_policy=AckPolicy.NACK_ON_ERROR)", id="policy named"),
    pytest.param(rules.subscriptions, "consume(broker, topics)", id="through the chassis"),
    pytest.param(rules.rooms_without_meaning, "class Database: ...", id="Database"),
    pytest.param(rules.rooms_without_meaning, "class BasementView: ...", id="BasementView"),
    pytest.param(rules.log_events_in_prose, "log.info('asset_stored', asset=asset)", id="event"),
    pytest.param(rules.log_events_in_prose, "math.log(x)", id="a logarithm"),
    pytest.param(rules.money_as_float, "def capture(amount_micros: int): ...", id="int"),
]


@pytest.mark.parametrize(("rule", "code"), SEEN)
def test_a_rule_sees_what_it_forbids(rule: rules.Rule, code: str) -> None:
    assert list(rule(ast.parse(code)))


@pytest.mark.parametrize(("rule", "code"), PASSED)
def test_a_rule_lets_the_rest_pass(rule: rules.Rule, code: str) -> None:
    assert not list(rule(ast.parse(code)))


def test_no_error_is_swallowed() -> None:
    assert broken_by(rules.swallowed_errors) == []


def test_no_data_is_read_by_a_format_that_runs_code() -> None:
    assert broken_by(rules.pickled_data) == []
    assert broken_by(rules.unsafe_yaml) == []


def test_no_command_goes_through_a_shell() -> None:
    assert broken_by(rules.shell_commands) == []


def test_no_class_is_named_for_being_there() -> None:
    assert broken_by(rules.rooms_without_meaning) == []


def test_a_log_event_is_one_name_and_its_facts_are_fields() -> None:
    assert broken_by(rules.log_events_in_prose) == []


def test_money_is_whole_micro_units() -> None:
    assert broken_by(rules.money_as_float) == []


def test_no_broker_relies_on_the_default_acknowledgement() -> None:
    assert broken_by(rules.brokers_by_default) == []


def test_a_service_subscribes_through_the_chassis_alone() -> None:
    found = [at(path, line) for _, path, tree in service_modules() for line in rules.subscriptions(tree)]
    assert found == []


def test_sql_stands_only_in_the_store_and_the_migrations() -> None:
    assert [at(path, line) for path, line in sql_outside_the_store() if path != SANDBOX_BILL] == []


def test_the_bill_that_a_provider_keeps_is_the_one_exception_and_still_is_one() -> None:
    assert SANDBOX_BILL in {path for path, _ in sql_outside_the_store()}


def sql_outside_the_store() -> Iterator[tuple[Path, int]]:
    for service, path, tree in service_modules():
        if path.relative_to(service.package).parts[0].removesuffix(".py") not in {"store", "migrations"}:
            yield from ((path, line) for line in rules.sql_statements(tree))


def broken_by(rule: rules.Rule, *roots: str) -> list[str]:
    return [at(path, line) for path, tree in modules(*roots) for line in rule(tree) if not is_test(path)]
