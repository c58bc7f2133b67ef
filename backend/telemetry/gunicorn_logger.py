"""gunicorn's own lines as JSON like all others: it would write them as text, past the redaction."""

from __future__ import annotations

from gunicorn.glogging import Logger


class JsonLogger(Logger):  # type: ignore[misc]
    """Hands everything to the root logger."""

    def setup(self, cfg: object) -> None:
        """Without handlers of its own."""
        super().setup(cfg)
        for logger in (self.error_log, self.access_log):
            logger.handlers[:] = []
            logger.propagate = True
