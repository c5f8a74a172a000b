"""Whole histories of one job, as the model of the services plays them."""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st

from tests.gateway_services_model import History, Services

_SHARES = (0.1, 0.5)
"""Seldom, as in most jobs, and often, as in a manifest that is taken up again."""


@st.composite
def histories(draw: st.DrawFn, *, cancel: bool | None = None) -> History:
    """Whole histories: everything the services owe has been said. `cancel` forces or forbids a request to stop."""
    random = draw(st.randoms(use_true_random=False))
    count = draw(st.integers(1, 4))
    stops = draw(st.booleans()) if cancel is None else cancel
    reason = draw(st.sampled_from(["user", "deadline"]))
    if not stops:
        return _played(random, count, -1, reason)
    history = _played(random, count, draw(st.integers(0, 30)), reason)
    # A job that ended before it could be stopped is played again, and stopped before anything happens.
    return history if history.cancel or not cancel else _played(random, count, 0, reason)


def _played(random: Random, count: int, moment: int, reason: str) -> History:
    """The services work until nothing is left to do; at step `moment` somebody asks the job to stop, if it can."""
    services = Services(random, count, blanks=random.choice(_SHARES), present=random.choice(_SHARES))
    step = 0
    while actions := list(services.actions()):
        if step == moment:
            services.request_cancel(reason)
        elif services.assets and random.random() < 0.1:
            services.touch_asset()
        else:
            random.choice(actions)()
        step += 1
    ended = {item.number: item.ended or "" for item in services.items.values()}
    asked = {item.number: "fetched" if item.has else "failed" for item in services.items.values() if item.asked}
    blank = frozenset(item.number for item in services.items.values() if item.blank)
    return History(tuple(services.told), ended, blank, services.rejected, services.captured, asked)
