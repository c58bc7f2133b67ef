"""What a process has imported is noted while it imports it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.imported_packages import FOLDER


def test_packages_are_noted_by_their_own_part(tmp_path: Path) -> None:
    (tmp_path / "outer").mkdir()
    (tmp_path / "outer" / "__init__.py").write_text("from outer import inner\nimport large\n")
    (tmp_path / "outer" / "inner.py").write_text("")
    (tmp_path / "large.py").write_text("kept = bytearray(b'x') * 20_000_000\n")
    folder = tmp_path / "noted"
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(FOLDER), "NOTED_IMPORTS": str(folder)}
    code = f"import sys; sys.path.append({str(tmp_path)!r}); import outer; import missing_package"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "ModuleNotFoundError: No module named 'missing_package'" in done.stderr
    [path] = folder.glob("*.json")
    noted = json.loads(path.read_text(encoding="utf-8"))
    assert noted["outer"]["modules"] == 2 and noted["outer"]["mb"] < 10 < 15 < noted["large"]["mb"] < 40
