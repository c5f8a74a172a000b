"""Everything that is wrong with a model at once, each fault at its place: a validator that raises tells only one."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

Fault = tuple[tuple[str, ...], str]
"""Where in the model, and what is wrong there."""


def raise_all(title: str, faults: Iterable[Fault]) -> None:
    """Raises one `ValidationError` with all of `faults`; nothing where there are none.

    Raised in a validator, pydantic puts the faults among those of the whole, behind the place of this model.
    """
    errors = [
        InitErrorDetails(type=PydanticCustomError("value_error", "{words}", {"words": words}), loc=place, input=None)
        for place, words in faults
    ]
    if errors:
        raise ValidationError.from_exception_data(title, errors)
