"""Whether one process of this machine lives: what a container engine asks again and again."""

from __future__ import annotations

import socket

from backend.errors import StoreUnavailable
from backend.settings.settings import Settings

QUEUE_OF = {"learner": "learn", "trainer": "train", "sync": "sync", "predictor": "files"}


def find_silence(settings: Settings, process: str) -> str:
    """What is wrong, "" when nothing is. A worker is alive as long as Redis, which it waits for, is away."""
    if process == "web":
        from backend.client.admin import local_url
        from backend.doctor.web import ask, shown

        answer = ask(settings, f"{local_url(settings)}/health")
        return "" if answer[0] == 200 else shown(answer)
    from backend.health.redis_health import examine

    try:
        workers = examine(settings).workers
    except StoreUnavailable:
        return ""
    if process == "scheduler":
        return "" if workers.scheduler else "no scheduler is active"
    mine = f"{QUEUE_OF[process]}-{socket.gethostname()}-"
    found = any(name.startswith(mine) for name in workers.names[QUEUE_OF[process]])
    return "" if found else f"no sign of life of {process} on {socket.gethostname()}"
