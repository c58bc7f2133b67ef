"""What a machine grants a process, looked at before anything starts: open files, a place for temporary files, a current
directory. What can be mended is; the rest is one line."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from pathlib import Path

from backend.errors import SettingsError

FEWEST_FILES = 96
"""The supervisor of `up` has 23 open, the web process 16 before its first call. The rest is for calls: a connection to
Redis for each thread, the clients' own."""

ENOUGH_FILES = 65_536

SPARE_FILES = 64
"""Kept from clients' connections: libraries, models, the feature cache, Redis."""

TEMPORARY_FOLDER = "tmp"


def prepare_process(data_dir: Path) -> None:
    """Raises SettingsError for what is missing and cannot be made up for."""
    try:
        os.getcwd()
    except OSError as error:
        raise SettingsError("the current directory is gone: change to one that exists") from error
    raise_open_files()
    provide_temporary_folder(data_dir)


def raise_open_files() -> int:
    """As many open files as this user may have; how many. Raises SettingsError for too few to work with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(hard, ENOUGH_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):
            pass  # some systems grant less than they say
    if soft != resource.RLIM_INFINITY and soft < FEWEST_FILES:
        raise SettingsError(
            f"only {soft} files may be open at a time, {FEWEST_FILES} are needed: raise it (ulimit -n 1024, "
            "LimitNOFILE= of systemd, --ulimit nofile= of Docker)"
        )
    return soft if soft != resource.RLIM_INFINITY else ENOUGH_FILES


def clients_at_once() -> int:
    """Connections that the web process may hold."""
    return max(16, min(1000, raise_open_files() - SPARE_FILES))


def provide_temporary_folder(data_dir: Path) -> None:
    """A folder under DATA_DIR where neither TMPDIR nor the system has one that can be written to.

    Raises SettingsError when there is no room there either."""
    try:
        if tempfile.gettempdir() != os.getcwd():
            return
    except OSError:
        pass
    folder = data_dir.absolute() / TEMPORARY_FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise SettingsError(
            f"there is no place for temporary files: neither TMPDIR nor /tmp, and {folder} cannot be written to "
            f"({error.strerror}); set DATA_DIR or TMPDIR to a folder that can"
        ) from error
    tempfile.tempdir = str(folder)


def clear_temporary_folder(data_dir: Path) -> None:
    """Delete what earlier processes left there; only the holder of the data directory's lock may."""
    shutil.rmtree(data_dir.absolute() / TEMPORARY_FOLDER, ignore_errors=True)
