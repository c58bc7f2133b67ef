"""A Label Studio of our own: a virtual environment, and an empty data directory that is migrated once and copied."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from backend.errors import LabelStudioError
from backend.settings.settings import child_environment

LABEL_STUDIO_VERSION = "1.23.2"
"""The release whose protocol is recorded and tested. It needs an environment of its own: it pins older redis and rq."""

NO_REPORTING = {
    "COLLECT_ANALYTICS": "false",
    "LATEST_VERSION_CHECK": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
}
"""Label Studio's switches for reporting home."""

USUAL_PATH = {"PYTHONSAFEPATH": ""}
"""Its programs find their modules as they do without us (`own_modules`)."""

Tell = Callable[[str], None]


class Installation:
    """`cache` holds everything that is made once: `venv/` (or `venv` elsewhere) and `empty-<version>/`."""

    def __init__(self, cache: Path, venv: Path | None = None, tell: Tell = lambda text: None) -> None:
        self.cache = cache.absolute()
        self.venv = (venv or cache / "venv").absolute()
        self._tell = tell

    @property
    def command(self) -> Path:
        """The `label-studio` program."""
        return self.venv / "bin" / "label-studio"

    def ensure(self) -> None:
        """Install what is missing: minutes the first time, nothing later. Raises LabelStudioError with the log's end.

        Of several processes one works and the others wait."""
        self.cache.mkdir(parents=True, exist_ok=True)
        with _locked(self.cache / "lock"):
            if not self._is_installed():
                self._install()
            if not self._empty.exists():
                self._migrate()

    def new_data_dir(self, target: Path) -> None:
        """Make `target` a migrated data directory without any user."""
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(self._empty, target, dirs_exist_ok=True)

    @property
    def _empty(self) -> Path:
        return self.cache / f"empty-{LABEL_STUDIO_VERSION}"

    def _is_installed(self) -> bool:
        found = self.venv.glob(f"lib/python*/site-packages/label_studio-{LABEL_STUDIO_VERSION}.dist-info")
        return self.command.exists() and any(found)

    def _install(self) -> None:
        self._tell(f"Installing Label Studio {LABEL_STUDIO_VERSION} into {self.venv} (a few minutes, once)")
        python = self.venv / "bin" / "python"
        self._run([sys.executable, "-m", "venv", "--clear", str(self.venv)], "venv.log")
        pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        self._run([*pip, f"label-studio=={LABEL_STUDIO_VERSION}"], "install.log")

    def _migrate(self) -> None:
        """Every start applies the migrations; `version` then ends before it makes a user."""
        self._tell("Making an empty Label Studio database (about a minute, once)")
        scratch = self.cache / f".migrating-{os.getpid()}"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        command = [str(self.command), "version", "--data-dir", str(scratch)]
        self._run(command, "migrate.log", {"LABEL_STUDIO_BASE_DATA_DIR": str(scratch)})
        if not (scratch / "label_studio.sqlite3").exists():
            raise LabelStudioError(f"Label Studio made no database, see {self.cache / 'migrate.log'}")
        scratch.rename(self._empty)

    def _run(self, command: list[str], log: str, environment: Mapping[str, str] | None = None) -> None:
        path = self.cache / log
        with path.open("wb") as output:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=child_environment(**NO_REPORTING, **USUAL_PATH, **(environment or {})),
                check=False,
            )
        if done.returncode != 0:
            end = path.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise LabelStudioError(f"{' '.join(command[:4])} … failed with {done.returncode}, see {path}:\n{end}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`; it goes away with the process."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
