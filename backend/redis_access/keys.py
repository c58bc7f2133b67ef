"""Names of the Redis keys. All keys of a project share one hash tag, so that a script may touch them together."""

from __future__ import annotations

PROJECTS = "understudy:projects"
"""SET of project ids."""

ANNOUNCE = "understudy:announce"
"""Pub/sub channel: `<project> <version>` after every move of a live pointer."""

SCHEDULER_LEASE = "understudy:scheduler"
"""STRING with a time to live: which scheduler is the active one."""

AUDIT = "understudy:audit"
"""STREAM of what admins did."""

TALLIES = "understudy:tallies"
"""HASH of counters that processes without a port add to, for /metrics."""

STEERED = "understudy:steered"
"""SET of the projects whose queue in Label Studio is steered."""

SCHEMA = "understudy:schema"
"""STRING: the number of the shape that everything here has (migrations.py)."""

MIGRATING = "understudy:migrating"
"""STRING with a time to live: who is changing the shape."""


def project_key(project: int, name: str) -> str:
    """`understudy:{p7}:name`."""
    return f"understudy:{{p{int(project)}}}:{name}"


def job_key(job: str) -> str:
    """HASH of one training's record. Kept out of `rq:*`: losing all of those loses no record."""
    return f"understudy:job:{job}"
