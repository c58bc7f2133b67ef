"""What an admin asks of a run that predicts files, and sees of it; knows no HTTP and opens no file."""

from __future__ import annotations

import re
import time

from backend.errors import BadRequest, Conflict, NotFound
from backend.file_run_json import FileRunAnswer
from backend.files.cut import SHARD_ROWS
from backend.files.locations import read_location
from backend.outcomes import FINAL_STATES, JobOutcome
from backend.redis_access.workers import read_workers
from backend.store.stores import Stores
from backend.store.work.file_runs import Asked
from model.spec import Json, JsonObject

VERSION = re.compile(r"v[0-9]{1,9}(\.[0-9]{1,9})?")

PREFIX = re.compile(r"\w{0,40}")

FEWEST_ROWS, MOST_ROWS = 100, 1_000_000


def request_files(stores: Stores, project: int, body: JsonObject) -> FileRunAnswer:
    """Ask for a run: the one that is there when it reads and writes the same and is not over. Raises BadRequest,
    NotFound for a project that is not known, and Conflict where another one runs."""
    asked = _read(body)
    if not asked["version"] and stores.versions.live(project) is None:
        raise NotFound(f"project {project} has no version that could answer")
    stores.failures.release(project, "files")
    record, created = stores.file_runs.request(project, "admin", asked)
    if not created and (record["source"], record["output"]) != (asked["source"], asked["output"]):
        raise Conflict(f"{record['id']} still writes {record['output']}: one run a project at a time", job=record["id"])
    message = "asked for" if created else f"already {record['status']}: nothing is predicted twice"
    return {**describe_files(stores, project), "new": created, "message": message}


def _read(body: JsonObject) -> Asked:
    source = read_location(_text(body, "source"), "source")
    output = read_location(_text(body, "output"), "output")
    version, prefix, rows = _text(body, "version"), _text(body, "prefix"), body.get("rows", SHARD_ROWS)
    if version and not VERSION.fullmatch(version):
        raise BadRequest("version: such as v12 or v12.1", field="version")
    if not PREFIX.fullmatch(prefix):
        raise BadRequest("prefix: letters, digits and _, 40 at most", field="prefix")
    if not isinstance(rows, int) or isinstance(rows, bool) or not FEWEST_ROWS <= rows <= MOST_ROWS:
        raise BadRequest(f"rows: {FEWEST_ROWS} to {MOST_ROWS}", field="rows")
    if any(char in output.path for char in "*?["):
        raise BadRequest("output: a folder, without wildcards", field="output")
    if source.path.rstrip("/") == output.path.rstrip("/"):
        raise BadRequest("output: another folder than what is read", field="output")
    return {
        "source": source.url,
        "output": output.url.rstrip("/"),
        "version": version,
        "rows": rows,
        "prefix": prefix,
    }


def _text(body: JsonObject, field: str) -> str:
    value: Json = body.get(field, "")
    if not isinstance(value, str) or len(value) > 2000 or "\0" in value:
        raise BadRequest(f"{field}: a text", field=field)
    return value


def describe_files(stores: Stores, project: int) -> FileRunAnswer:
    """The newest run and how far it is. Raises NotFound before the first."""
    runs = stores.file_runs
    record = runs.find(project)
    if record is None:
        raise NotFound(f"project {project} has predicted no files: `understudy predict IN -o OUT --project {project}`")
    sums, trouble, ended = runs.sums(project), stores.failures.describe(project).get("files"), record.get("ended_at")
    over = record["status"] in FINAL_STATES
    fresh, began = sums["written"] - sums["kept"], float(record.get("began_at", record["asked_at"]))
    seconds = max(1e-3, (ended or time.time()) - began)
    rate = fresh / seconds if fresh else 0.0
    return {
        "id": record["id"],
        "status": record["status"],
        "by": record["by"],
        "source": record["source"],
        "output": record["output"],
        "version": record["version"],
        "asked_at": record["asked_at"],
        "ended_at": ended,
        "step": sums["written"],
        "of": sums["rows"],
        "kept": sums["kept"],
        "errors": sums["errors"],
        "rate": round(rate, 1),
        "seconds_left": round((sums["rows"] - sums["written"]) / rate, 1) if rate and not over else None,
        "shards": {"all": sums["shards"], "over": sums["over"]},
        "failed": sums["failed"],
        "in_flight": 0 if over else runs.in_flight(project),
        "workers": read_workers(stores.client).alive["files"],
        "message": record.get("message", ""),
        "error": "" if over or trouble is None else trouble["error"],
        "retry_in": 0 if over or trouble is None else trouble["retry_in"],
    }


def cancel_files(stores: Stores, project: int) -> FileRunAnswer:
    """End a run; the parts that are written stay. Raises NotFound, or Conflict when it is over."""
    found = describe_files(stores, project)
    if not stores.file_runs.finish(project, found["id"], JobOutcome.CANCELLED, "cancelled"):
        raise Conflict(f"{found['id']} is over: {found['status']}", job=found["id"], status=found["status"])
    return describe_files(stores, project)
