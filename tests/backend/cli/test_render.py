"""What `understudy status` says of background work that fails, and of reconciling."""

from __future__ import annotations

from backend.cli.render import render_background_work


def test_a_healthy_project_has_one_line() -> None:
    entry = {"trouble": {}, "dirty": "", "last_sync": {"at": 400.0, "ok_at": 400.0, "drift": 3}}
    assert list(render_background_work(entry, 1000.0)) == [
        "reconciled with Label Studio: 10 minutes ago, 3 annotations were mended"
    ]
    assert list(render_background_work({}, 1000.0)) == []


def test_a_version_that_an_admin_has_pinned_is_told() -> None:
    (line,) = render_background_work({"id": 7, "pinned": "v0.3"}, 1000.0)  # type: ignore[typeddict-item]
    assert line.startswith("pinned: v0.3 answers") and "`understudy unpin 7`" in line


def test_what_fails_is_told_with_the_reason_and_when_it_is_tried_again() -> None:
    trouble = {
        "refit": {"failures": 3, "error": "MemoryError: ", "retry_in": 40},
        "sync": {"failures": 1, "error": "401", "retry_in": 0},
    }
    last = {"at": 990.0, "ok_at": 940.0, "drift": 0, "error": "401"}
    assert list(
        render_background_work({"trouble": trouble, "last_sync": last, "dirty": "a refused webhook"}, 1000.0)
    ) == [
        "learning failed 3 times in a row; again in 40 s: MemoryError: ",
        "reconciling failed once: 401",
        "reconciled with Label Studio: 1 minutes ago, nothing was missing; failed since: 401",
        "to be reconciled, since a refused webhook",
    ]
    assert "never; 401" in " ".join(render_background_work({"last_sync": {"at": 1.0, "error": "401"}}, 1000.0))
