"""Asks for a run that predicts files, lends it workers of this machine where there are no others, and follows it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backend.errors import BackendError, BadRequest
from backend.file_run_json import FileRunAnswer
from backend.files.locations import URL, Location, read_location
from backend.outcomes import FINAL_STATES, JobOutcome
from backend.screen import plain, say, say_json
from backend.settings.home_path import expand_path

if TYPE_CHECKING:
    import subprocess

    from backend.client.admin import AdminClient

WILDCARDS = "*?["

PARQUET = (".parquet", ".pq")


@dataclass(frozen=True)
class Wish:
    """What was asked for on the command line. `workers` None: one, where no other is alive."""

    source: str
    output: str
    project: int
    version: str = ""
    rows: int = 0
    prefix: str = ""
    workers: int | None = None


def at_home(text: str) -> Path:
    """With `~` as the directory it stands for. Raises BadRequest."""
    try:
        return Path(expand_path(text))
    except ValueError as error:
        raise BadRequest(str(error)) from None


def is_in_bulk(source: str, output: str | None) -> bool:
    """Whether a target of `predict` is a matter of shards: URLs, wildcards, folders and parquet; or OUT is a folder."""
    if URL.match(source) or any(char in source for char in WILDCARDS) or source.lower().endswith(PARQUET):
        return True
    if output is not None and (URL.match(output) or output.endswith("/") or at_home(output).is_dir()):
        return True
    return at_home(source).is_dir()


def predict_in_bulk(api: AdminClient, wish: Wish, *, wait: bool, as_json: bool) -> None:
    """Raises SystemExit(1) when the run fails."""
    source, output = _absolute(wish.source, "IN"), _absolute(wish.output, "OUT")
    wanted: dict[str, str | int] = {"source": source.url, "output": output.url, "version": wish.version}
    wanted |= {"rows": wish.rows} if wish.rows else {}
    asked = api.predict_files(wish.project, {**wanted, "prefix": wish.prefix})
    if not as_json:
        say(f"{asked['id']}: {asked['message']}")
    if not wait:
        return tell(asked, as_json)
    count = wish.workers if wish.workers is not None else int(asked["workers"] == 0)
    try:
        with _lent(count, [source, output]) as lent:
            record = _follow(_Run(api, wish.project, lent), asked["id"], as_json)
    except KeyboardInterrupt:
        say("")
        say("The same command goes on where it stopped; with --cancel it ends for all workers.")
        return None
    tell(record, as_json)
    if record["status"] != JobOutcome.DONE:
        raise SystemExit(1)
    return None


def _absolute(text: str, field: str) -> Location:
    return read_location(text if URL.match(text) else os.path.abspath(at_home(text)), field)


def tell(record: FileRunAnswer, as_json: bool) -> None:
    """A run in a line or two."""
    if as_json:
        return say_json(dict(record))
    say(describe_files_run(record))
    if record["errors"]:
        say(f"{record['errors']} rows have no answer: {plain(record['output'])}/_errors says why")
    return None


def describe_files_run(record: FileRunAnswer) -> str:
    """One line: state, rows, rate, parts, and what is wrong."""
    shards = record["shards"]
    parts = [f"{record['id']}: {record['status']}, {record.get('step', 0)} of {record.get('of', 0)} rows"]
    parts.append(f"{shards['over']} of {shards['all']} parts in {plain(record['output'])}")
    parts += [f"version {plain(str(record['version']))}"] if record.get("version") else []
    parts += [f"{record['rate']:.0f} rows a second"] if record["rate"] else []
    parts += [f"{record['kept']} rows were there"] if record["kept"] else []
    if record["status"] not in FINAL_STATES:
        parts.append(f"{record['workers']} workers")
    if record["error"]:
        parts.append(f"waits {record['retry_in']} s, since: {plain(record['error'])}")
    if record.get("message") and record["status"] in FINAL_STATES:
        parts.append(plain(str(record["message"])))
    return ", ".join(parts)


class _Run:
    """A project's run as `follow` looks at jobs."""

    def __init__(self, api: AdminClient, project: int, lent: Sequence[subprocess.Popen[bytes]]) -> None:
        self._api, self._project, self._lent = api, project, lent

    def job(self, job: str = "") -> FileRunAnswer:
        """With what a progress bar tells beside the numbers. Raises BackendError when the workers that were lent have
        ended."""
        record = self._api.files(self._project)
        if self._lent and all(one.poll() is not None for one in self._lent) and record["status"] not in FINAL_STATES:
            raise BackendError(f"the workers of this command have ended: {_log_file()} says why")
        waits = f"waits {record['retry_in']} s: {record['error']}" if record["error"] else ""
        return {**record, "stage": waits or f"{record['rate']:.0f} rows a second, {record['workers']} workers"}


def _follow(run: _Run, job: str, as_json: bool) -> FileRunAnswer:
    from backend.client.follow import follow, wait

    return wait(run, job) if as_json else follow(run, job)


def _log_file() -> Path:
    from backend.settings.settings import current_settings

    return current_settings().data_dir.absolute() / "logs" / "predictor.log"


@contextmanager
def _lent(count: int, places: Sequence[Location]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Within, so many workers of this machine, which may read and write what the command line names."""
    import subprocess
    import sys

    from backend.settings.settings import current_settings, environment_of

    if count < 1:
        yield []
        return
    roots = ",".join(_root_of(place) for place in places)
    if "," in "".join(place.url for place in places):
        raise BadRequest("no path or URL with a comma; or start `understudy predictor` with FILE_ROOTS yourself")
    environment = {**environment_of(current_settings()), "FILE_ROOTS": roots}
    log = _log_file()
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "backend", "predictor", "--supervised", str(os.getpid())]
    with log.open("ab") as said:
        workers = [
            subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
            for _ in range(count)
        ]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            try:
                worker.wait(10)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


def _root_of(place: Location) -> str:
    """The folder of what the command line names, as far as it has no wildcard."""
    plain_part = place.path
    for at, char in enumerate(place.path):
        if char in WILDCARDS:
            plain_part = place.path[:at].rpartition("/")[0]
            break
    return Location(place.scheme, plain_part).url
