"""How the endpoints fare, in words: for `understudy notify`, `status`, `doctor` and the page."""

from __future__ import annotations

from backend.store.outbox.outbox import EndpointState, OutboxStore

LATE_SECONDS = 900.0
"""An event that waits so long, with nothing tried lately, waits for a scheduler."""

TEST_COMMAND = "`understudy notify --test`"


def describe_state(state: EndpointState, now: float) -> str:
    """What was delivered, what waits, and the last answer. `now`: epoch seconds."""
    parts = [
        f"{state.delivered} delivered" + (f", the last {_ago(now - state.delivered_at)}" if state.delivered else "")
    ]
    if state.waiting:
        parts.append(f"{state.waiting} waiting, the first for {_long(now - state.oldest)}")
    if state.given_up:
        parts.append(f"{state.given_up} given up")
    if state.dropped:
        parts.append(f"{state.dropped} dropped")
    if trouble := find_trouble(state, now):
        parts.append(trouble)
    return "; ".join(parts)


def find_trouble(state: EndpointState, now: float) -> str:
    """Why events do not get there, "" when they do."""
    if state.gone:
        return f"gone (410) {_ago(now - state.at)}: nothing is kept for it"
    if not state.is_well:
        return f"tried {_ago(now - state.at)}: {state.said}"
    if state.waiting and now - max(state.oldest, state.at) > LATE_SECONDS:
        return "nobody delivers: is the scheduler there?"
    return ""


def find_troubles(outbox: OutboxStore, now: float) -> dict[str, str]:
    """Shown with what is switched off: endpoint -> why it is told nothing. Raises StoreUnavailable."""
    found = {endpoint.name: find_trouble(outbox.state(endpoint), now) for endpoint in outbox.endpoints}
    return {f"notifications to {name}": trouble for name, trouble in found.items() if trouble}


def _ago(seconds: float) -> str:
    return f"{_long(seconds)} ago"


def _long(seconds: float) -> str:
    seconds = max(seconds, 0.0)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
