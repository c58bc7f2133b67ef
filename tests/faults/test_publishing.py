"""Rows 21, 22, 24, 26, 27, 28: whatever happens while a version is written and published, a whole one is live."""

from __future__ import annotations

from typing import Any

from backend.jobs.refit import refit
from backend.settings import Settings
from model.versions import collect_garbage, verify_version, version_path
from tests.faults.tiny import KILLED, PROJECT, Letters, armed, letters, run_apart, settings, tiny_base  # noqa: F401

AFTER_THE_MOVE = {"publish.after"}
STEPS = (
    *("refit.begin", "snapshot.after", "version.write", "version.before_rename", "version.after_rename"),
    *("publish.before", "publish.after"),
)


def learn(settings: Settings) -> None:
    """A refit, as the learner makes it."""
    refit(PROJECT)


def live(context: Any) -> str:
    """The live version, having checked that it is whole."""
    version = str(context.stores.versions.live(PROJECT))
    verify_version(version_path(context.settings.models_dir, PROJECT, version))
    return version


def test_row_21_killed_at_each_step_of_a_publication_a_whole_version_is_live(context: Any, letters: Letters) -> None:
    letters.add(8)
    assert refit(PROJECT) == "published"
    for step in STEPS:
        stores, before = context.stores, live(context)
        trained = stores.versions.trained(PROJECT)
        letters.add(1)
        assert run_apart(learn, armed(context.settings, step)) == KILLED, step
        moved = step in AFTER_THE_MOVE
        assert (live(context) != before) == moved, step
        assert stores.versions.trained(PROJECT) == (stores.examples.seq(PROJECT) if moved else trained), step
        assert stores.examples.count(PROJECT) == letters.count, "nothing that was acknowledged is lost"
        stores.trouble.release(PROJECT, "refit")
        assert refit(PROJECT) == ("unchanged" if moved else "published"), step
        assert stores.examples.pending(PROJECT) == 0
    kept = {live(context)}
    collect_garbage(context.settings.models_dir, PROJECT, kept, newest=0, min_age_s=0)
    assert {path.name for path in (context.settings.models_dir / str(PROJECT)).iterdir()} == kept
