"""The training process: `python -m model.training RUN_DIR [FAILPOINT]`. Reads run.json, writes a version, result.json.

One JSON object a line on stdout tells how far it is. Killed at any moment and started again on the same directory it
goes on from its last checkpoint; a file `pause` there makes it write one after the next step, and end. It needs no
network, no Redis and no secret. Several processes, started by `accelerate launch --multi_gpu --num_processes N -m
model.training RUN_DIR`, split every batch and learn the same (model/training/follower.py).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from model.errors import ModelError
from model.failpoints import arm, failpoint


def main(arguments: Sequence[str]) -> int:
    """Exit status 0 with a result, 1 with a line {"error": …} when there can be none: the launcher then ends all."""
    launcher = os.getppid()  # known before the libraries are loaded: it may be killed while they are
    arm(arguments[1] if len(arguments) > 1 else "")
    failpoint("training.begin")
    from safetensors import SafetensorError
    from torch import OutOfMemoryError

    from model.kernels.device_memory import FULL
    from model.training.distributed import join, leave
    from model.training.follower import broadcast, follow
    from model.training.run import Training
    from model.training.tuner import Paused

    try:
        team = join(launcher)
        if team.leads:
            Training(Path(arguments[0]), team).run()
            broadcast(team, None)
        else:
            follow(team)
    except Paused:
        print(json.dumps({"paused": True}), flush=True)
        return 0
    except OutOfMemoryError:
        print(json.dumps({"error": FULL}), flush=True)
        return 1
    except (ModelError, OSError, SafetensorError) as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    leave()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
