"""`understudy-run DIR FILE`: the program of an exported directory, run as `python DIR/predict.py FILE` runs it."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

PROGRAM = "predict.py"
USAGE = "understudy-run DIR FILE [-o OUTPUT] [--graph model.int8.onnx]: answer a file with an export of understudy"


def main() -> None:
    """Needs what that program needs: no settings, no Redis, no server."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        raise SystemExit(USAGE)
    program = Path(arguments[0]) / PROGRAM
    if not program.is_file():
        raise SystemExit(f"{arguments[0]} is no exported directory: it has no {PROGRAM}")
    sys.argv = [str(program), *arguments[1:]]
    runpy.run_path(str(program), run_name="__main__")


if __name__ == "__main__":
    main()
