"""Rules over one parsed module that neither imports nor the linter can state. Each yields the lines that break it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

Rule = Callable[[ast.Module], Iterator[int]]

BROAD = {"Exception", "BaseException"}
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
UNSAFE_YAML = {"load", "load_all", "full_load", "full_load_all", "unsafe_load", "unsafe_load_all"}
SHELLS = {("os", "system"), ("os", "popen"), ("subprocess", "getoutput"), ("subprocess", "getstatusoutput")}
LOG_LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
CONNECTIONS = {"AsyncConnection", "AsyncEngine"}
DATABASES = {"sqlalchemy", "asyncpg", "sqlite3"}
# In capitals or in small letters; a sentence that begins with Select is prose.
SQL = re.compile(
    r"\s*(?![A-Z][a-z])"
    r"(?i:SELECT\s.+\bFROM\b|INSERT\s+INTO\s|UPDATE\s.+\bSET\b|DELETE\s+FROM\s|WITH\s.+\bAS\s*\(|CREATE\s+TABLE\s)",
    re.DOTALL,
)


def swallowed_errors(tree: ast.Module) -> Iterator[int]:
    """A broad `except` that says nothing, or a broad `suppress`: the error is lost and the loop looks healthy."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            if _is_broad(node.type) and all(map(_says_nothing, node.body)):
                yield node.lineno
        elif isinstance(node, ast.Call) and _called(node)[1] == "suppress" and any(map(_is_broad, node.args)):
            yield node.lineno


def pickled_data(tree: ast.Module) -> Iterator[int]:
    """Formats that run code when they are read."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and _imported_roots(node) & PICKLES:
            yield node.lineno


def unsafe_yaml(tree: ast.Module) -> Iterator[int]:
    """A YAML reader that builds any object; `safe_load` builds values."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node)[0] == "yaml" and _called(node)[1] in UNSAFE_YAML:
            yield node.lineno


def shell_commands(tree: ast.Module) -> Iterator[int]:
    """A command line that a shell takes apart: a name with a space or a semicolon becomes a command."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (_called(node) in SHELLS or _shell_is_asked(node)):
            yield node.lineno


def sql_statements(tree: ast.Module) -> Iterator[int]:
    """SQL, as text or by SQLAlchemy. A connection that is handed on, or an error that is translated, may be named."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value):
            yield node.lineno
        elif isinstance(node, ast.ImportFrom) and _imported_roots(node) & DATABASES:
            if node.module != "sqlalchemy.exc" and not {alias.name for alias in node.names} <= CONNECTIONS:
                yield node.lineno
        elif isinstance(node, ast.Import) and _imported_roots(node) & DATABASES:
            yield node.lineno


def brokers_by_default(tree: ast.Module) -> Iterator[int]:
    """A broker without an acknowledgement policy: FastStream's own commits an offset before the work is done."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node)[1] == "KafkaBroker":
            policy = [keyword for keyword in node.keywords if keyword.arg == "ack_policy"]
            if not policy or (isinstance(policy[0].value, ast.Constant) and policy[0].value.value is None):
                yield node.lineno


def subscriptions(tree: ast.Module) -> Iterator[int]:
    """Any subscription at all: outside the chassis it would miss inbox, dead letters and back-off."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node)[1] in {"subscriber", "AIOKafkaConsumer", "KafkaBroker"}:
            yield node.lineno


def rooms_without_meaning(tree: ast.Module) -> Iterator[int]:
    """A class whose name says that it is there, not what it does."""
    words = re.compile(r"(?:^_*|(?<=[a-z0-9]))(?:Utils?|Helpers?|Common|Misc|Manager|Base)(?=[A-Z]|$)")
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and words.search(node.name):
            yield node.lineno


def log_events_in_prose(tree: ast.Module) -> Iterator[int]:
    """A log event that is a sentence or is put together: it can be neither counted nor searched for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node)[0] == "log" and _called(node)[1] in LOG_LEVELS and node.args:
            event = node.args[0]
            named = isinstance(event, ast.Constant) and re.fullmatch(r"[a-z][a-z0-9_]*", str(event.value))
            if not named and not isinstance(event, ast.Name | ast.IfExp):
                yield node.lineno


def money_as_float(tree: ast.Module) -> Iterator[int]:
    """An amount in micro-units that is not an integer: sums of floats do not come out even."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
            name = node.arg if isinstance(node, ast.arg) else ast.unparse(node.target)
            if name.endswith("micros") and re.search(r"\b(float|Decimal)\b", ast.unparse(node.annotation)):
                yield node.lineno


def _is_broad(node: ast.expr | None) -> bool:
    if isinstance(node, ast.Tuple):
        return any(map(_is_broad, node.elts))
    return node is None or (isinstance(node, ast.Name) and node.id in BROAD)


def _says_nothing(node: ast.stmt) -> bool:
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_text or isinstance(node, ast.Pass | ast.Continue | ast.Break)


def _called(node: ast.Call) -> tuple[str, str]:
    """(`yaml`, `load`) for `yaml.load(...)`, (``, `suppress`) for `suppress(...)`."""
    if isinstance(node.func, ast.Attribute):
        owner = node.func.value
        return (owner.id if isinstance(owner, ast.Name) else ""), node.func.attr
    return "", node.func.id if isinstance(node.func, ast.Name) else ""


def _shell_is_asked(node: ast.Call) -> bool:
    if _called(node)[1] == "create_subprocess_shell":
        return True
    asked = [keyword.value for keyword in node.keywords if keyword.arg == "shell"]
    return bool(asked) and not (isinstance(asked[0], ast.Constant) and asked[0].value is False)


def _imported_roots(node: ast.Import | ast.ImportFrom) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    return {(node.module or "").partition(".")[0]} if node.level == 0 else set()
