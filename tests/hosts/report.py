"""What the run of the hosts has measured, as the tables of docs/scale.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Fault:
    """One fault: what was done, for how long, and how long until everything was as it should be after its end."""

    name: str
    seconds: float
    back: float | None
    converged: float
    labels: int
    answers: int


@dataclass
class Failover:
    """Of a replicated Redis: until the replica had taken over, and the longest time without an acknowledged label."""

    fault: str
    replicas: int
    took: float
    pause: float
    acknowledged: int
    refused: int
    lost: int


@dataclass
class Report:
    """Times in seconds."""

    times: list[tuple[str, float]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    failovers: list[Failover] = field(default_factory=list)
    more: list[str] = field(default_factory=list)

    def note(self, what: str, seconds: float) -> None:
        self.times.append((what, seconds))

    def text(self) -> str:
        """Markdown."""
        parts = [self._times(), self._faults(), self._failovers(), self.more]
        return "\n".join(line for part in parts for line in ("", *part))

    def _times(self) -> list[str]:
        rows = [f"| {what} | {seconds:.1f} |" for what, seconds in self.times]
        return ["| | s |", "|---|---|", *rows] if rows else []

    def _faults(self) -> list[str]:
        names = ("what was done", "for s", "at work again after s", "all learned and served everywhere after s")
        rows = [
            f"| {one.name} | {one.seconds:.1f} | {'' if one.back is None else f'{one.back:.1f}'} | {one.converged:.1f} "
            f"| {one.labels} | {one.answers} |"
            for one in self.faults
        ]
        return _table((*names, "labels meanwhile", "predictions meanwhile"), rows)

    def _failovers(self) -> list[str]:
        names = ("the primary was", "min-replicas-to-write", "replica took over after s", "longest pause s")
        rows = [
            f"| {one.fault} | {one.replicas} | {one.took:.1f} | {one.pause:.1f} | {one.acknowledged} | {one.refused} "
            f"| {one.lost} | 0 |"
            for one in self.failovers
        ]
        return _table((*names, "acknowledged", "refused", "lost", "lost after a reconciliation"), rows)

    def close(self, site: Any) -> None:
        """Adds up what was seen from beginning to end."""
        for name, found in site.version_delays().items():
            self.more.append(f"{name}: {describe(found)} from publish to the first answer")
        asked = {name: asker.sight.asked for name, asker in site.askers.items()}
        restarts = {name: host.restarts for name, host in site.cluster.network.hosts.items() if host.restarts}
        self.more.append(f"processes that ended by themselves and were started again: {restarts or 'none'}")
        replies = sorted(site.cluster.balancer.log.replies.items())
        self.more.append(f"predictions answered: {asked}; labels: {len(site.labeller.known)}")
        self.more.append(f"by the balancer: {', '.join(f'{path} {status}: {n}' for (path, status), n in replies)}")


def _table(names: Sequence[str], rows: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(names)} |", "|---" * len(names) + "|", *rows] if rows else []


def describe(seconds: Sequence[float]) -> str:
    """Such as `42 versions, p50 .4 s, max 1.2 s`."""
    found = sorted(seconds)
    if not found:
        return "no version"
    return f"{len(found)} versions, p50 {found[len(found) // 2]:.2f} s, max {found[-1]:.2f} s"
