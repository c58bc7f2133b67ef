"""One JSON object a log line, with what must not be in a log taken out; JSON escapes control characters."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from backend.redaction import HIDDEN, hide_all, process_redactor
from backend.settings.settings import Settings

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

SECRET_NAMES = ("token", "password", "secret", "authorization", "api_key", "access_token")

OURS = frozenset({"timestamp", "level", "logger", "process"})
"""Fields that no other code fills: a password such as 2026 must not eat the dates."""

TALKATIVE = (
    "httpx2",
    "httpcore2",
    "rq.worker",
    "urllib3",
    "botocore",
    "aiobotocore",
    "s3fs",
    "gcsfs",
    "adlfs",
    "azure",
)
"""Libraries that tell of each request, or (at DEBUG) of the headers that sign it: warnings of theirs are enough."""


def configure_logs(settings: Settings, process: str) -> None:
    """Everything goes to stderr as JSON: time, level, process, logger, event, and the ids of its request or job.
    Values of secret settings never show."""
    import structlog

    process_redactor().learn(*secret_values(settings))

    def name_process(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    def redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        return {name: hide(name, value) for name, value in event.items()}

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_process,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.JSONRenderer(),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    threading.excepthook = _log_uncaught
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    rq_logger = logging.getLogger("rq.worker")
    rq_logger.handlers[:] = [logging.NullHandler()]  # else RQ adds a handler of its own


def _log_uncaught(args: threading.ExceptHookArgs) -> None:
    """The end of a thread as a line like all others: Python would print its traceback past the redaction."""
    if args.exc_type is not SystemExit and args.exc_value is not None:
        name = args.thread.name if args.thread else "thread"
        logging.getLogger(__name__).error("%s ended", name, exc_info=args.exc_value)


def secret_values(settings: Settings) -> Iterable[str]:
    """The values that must not show: configured ones and those made into files."""
    from backend.settings.secrets_store import read_secret

    for field in (
        settings.label_studio_api_key,
        settings.basic_auth_pass,
        settings.webhook_secret,
        settings.admin_token,
        settings.teacher_key,
    ):
        yield field.get_secret_value()
    yield from settings.notify_url.split(",")
    yield from settings.notify_secret.get_secret_value().split()
    for name in ("admin_token", "webhook_secret"):
        yield read_secret(settings.data_dir / name)


def hide(name: str, value: object) -> object:
    """`value` as it may be logged."""
    if name in OURS:
        return value
    return HIDDEN if any(part in name.lower() for part in SECRET_NAMES) else hide_all(value)
