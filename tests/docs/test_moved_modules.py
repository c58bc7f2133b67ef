"""The table of moved modules leads from names that are gone to modules that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = re.findall(
    r"^\| `([\w.]+)` \| `([\w.]+)` \|$", (ROOT / "docs" / "moved-modules.md").read_text(encoding="utf-8"), re.MULTILINE
)


def is_module(name: str) -> bool:
    """Whether there is a file for it; a folder alone is a room, and no module that one moved from."""
    return (ROOT / f"{name.replace('.', '/')}.py").is_file()


def test_every_new_name_is_a_module_and_no_old_one_is() -> None:
    assert len(TABLE) > 200
    before = [old for old, _ in TABLE]
    assert before == sorted(set(before)), "each once, in the order of their names"
    rooms = {path.parent.relative_to(ROOT).as_posix().replace("/", ".") for path in ROOT.glob("backend/**/__init__.py")}
    gone = [new for _, new in TABLE if not is_module(new) and new not in rooms]
    assert gone == [], "moved once more: mend docs/moved-modules.md"
    assert [old for old in before if is_module(old)] == []


def test_what_the_queue_may_hold_of_before_is_in_the_table() -> None:
    from backend.redis_access.job_queue import FORMER_NAMES

    moved = dict(TABLE)
    for former, now in FORMER_NAMES.items():
        assert moved[former.rpartition(".")[0]] == now.rpartition(".")[0]
