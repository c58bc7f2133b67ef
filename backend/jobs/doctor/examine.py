"""Examines the installation and a few projects, and keeps what was found. Runs in the sync worker."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from backend.errors import StoreUnavailable
from backend.jobs.context import Context, context
from backend.outcomes import JobOutcome
from backend.redaction import hide_secrets
from backend.store.admin.findings import INSTALLATION, Finding

if TYPE_CHECKING:
    from backend.doctor.verdict import Verdict

log = logging.getLogger(__name__)

PROJECTS_EXAMINED = 10
"""Projects looked at in one go, those that were longest ago: Label Studio calls us for each of them."""

OF_PROJECT = re.compile(r"project (\d+)(: )?")


def examine(project: int) -> str:
    """Done, or failed. `project` INSTALLATION: everything, and the next projects. (RQ calls this.)"""
    work, project = context(), int(project)
    try:
        return _examine(work, project)
    except StoreUnavailable:
        raise
    except Exception:
        log.exception("examination failed project=%s", project)
        return JobOutcome.FAILED
    finally:
        work.stores.findings.end(project)


def _examine(work: Context, project: int) -> str:
    from backend.doctor.all_checks import examine_all

    store, known = work.stores.findings, work.stores.projects.projects()
    chosen = [project] if project != INSTALLATION else store.oldest(known, PROJECTS_EXAMINED)
    store.save(sort_verdicts(examine_all(work.settings, chosen=chosen), chosen), known)
    return JobOutcome.DONE


def sort_verdicts(verdicts: Iterable[Verdict], projects: Sequence[int]) -> dict[int, list[Finding]]:
    """Project -> what was found of it; INSTALLATION -> the rest."""
    found: dict[int, list[Finding]] = {INSTALLATION: [], **{project: [] for project in projects}}
    for verdict in verdicts:
        named = OF_PROJECT.match(verdict.check)
        own = found.setdefault(int(named[1]) if named else INSTALLATION, [])
        own.append(
            {
                "check": verdict.check[named.end() :] if named else verdict.check,
                "state": verdict.state,
                "evidence": hide_secrets(verdict.evidence),
                "remedy": hide_secrets(verdict.remedy),
            }
        )
    return found
