"""The command line's side of the admin API: one HTTP call each, with errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from backend.addresses.host import url_of
from backend.admin_json import (
    Action,
    ExampleAnswer,
    ExportAnswer,
    LoginLink,
    Order,
    PatternsAnswer,
    ProjectAnswer,
    RelabelRow,
    Rollback,
    RunAnswer,
    SuspectsAnswer,
    VersionsAnswer,
)
from backend.encoder_json import EncoderAnswer
from backend.errors import BackendError
from backend.explained_json import Explanation
from backend.file_run_json import FileRunAnswer
from backend.record_json import HuntsAnswer, JobRecord, TeacherAnswer
from backend.screen import plain
from backend.settings.secrets_store import read_secret
from backend.settings.settings import Settings
from backend.supervision.restarts import Restarts, find_restarts
from model.spec import Json, JsonObject

if TYPE_CHECKING:
    import requests

    from backend.record_json import PoolReport
    from model.evidence.auto_accept import DialJson

TIMEOUT_SECONDS = 30.0
"""Seconds; the slowest call (a resync request) only enqueues."""


STREAM_BYTES = 1 << 16
"""Of a long reply that are read at a time."""

STREAM_SECONDS = 600.0
"""Until the next part of a long reply: a data set begins when all tasks of several annotators have been read."""


class AdminError(BackendError):
    """The admin API did not do what was asked; the message is for the person at the terminal."""

    code = "admin_error"


class AdminAway(AdminError):
    """Nobody answered, or somebody who cannot just now (502, 503, 504): it may be otherwise in a moment."""


AWAY_STATUSES = frozenset({502, 503, 504})


def local_url(settings: Settings) -> str:
    """Where this machine reaches the web process (PUBLIC_URL may only work from outside)."""
    return url_of(settings.host, settings.port)


def _find_token(settings: Settings) -> str:
    """ "" when there is none. A library of Redis is loaded only where one has to be asked."""
    if token := settings.admin_token.get_secret_value():
        return token
    if not settings.redis_url:
        return read_secret(settings.data_dir / "admin_token")
    from backend.redis_access.shared_secrets import find_secret

    return find_secret(settings, "admin_token")


class AdminClient:
    """Calls the admin API of a running understudy. Every method raises AdminError."""

    def __init__(self, settings: Settings, url: str = "") -> None:
        self.url = (url or local_url(settings)).rstrip("/")
        self._settings, self._data_dir = settings, settings.data_dir
        self._token = _find_token(settings)
        if not self._token:
            raise AdminError(
                f"no admin token: set ADMIN_TOKEN, or DATA_DIR to the directory of the running server "
                f"(there is no {settings.data_dir / 'admin_token'})"
            )

    def projects(self) -> list[ProjectAnswer]:
        """Every project with its live version, examples and running job."""
        return list(self._call("GET", "/admin/projects")["projects"])

    def restarts(self) -> list[Restarts]:
        """This machine's processes that end again and again; not asked of a server elsewhere."""
        return find_restarts(self._data_dir) if self.url == local_url(self._settings) else []

    def project(self, project: int) -> ProjectAnswer:
        """One project in full."""
        return self._call("GET", f"/admin/projects/{project}")

    def examples(self, project: int) -> list[ExampleAnswer]:
        """What is stored, one entry per annotation."""
        return list(self._call("GET", f"/admin/projects/{project}/examples")["examples"])

    def versions(self, project: int) -> VersionsAnswer:
        """The kept versions, newest first, and which one is live."""
        return self._call("GET", f"/admin/projects/{project}/versions")

    def explain(
        self, project: int, task: int, control: str = "", span: tuple[int, int] | None = None, label: str = ""
    ) -> Explanation:
        """What a task would be answered, and the words that decided; why the characters of `span` are marked so, or are
        not."""
        from urllib.parse import urlencode

        place = {"start": span[0], "end": span[1]} if span else {}
        named = {name: value for name, value in (("control", control), ("label", label)) if value}
        query = urlencode({"task": task, **named, **place})
        return self._call("GET", f"/admin/projects/{project}/explain?{query}")

    def suspects(self, project: int, control: str = "", limit: int = 100) -> SuspectsAnswer:
        """The labels that are probably wrong, most suspicious first."""
        from urllib.parse import urlencode

        query = urlencode({"limit": limit, **({"control": control} if control else {})})
        return self._call("GET", f"/admin/projects/{project}/suspects?{query}")

    def relabels(self, project: int, limit: int) -> list[RelabelRow]:
        """Tasks to look at again, as predictions ready to be written."""
        return list(self._call("GET", f"/admin/projects/{project}/relabel?limit={limit}")["rows"])

    def dial(
        self,
        project: int,
        accuracy: float,
        control: str,
        confidences: Mapping[str, int],
        carried: Mapping[str, int] | None = None,
    ) -> DialJson:
        """The auto-accept dial for confidences (confidence -> tasks) of the version that answers now, and for answers
        `carried` over from duplicates (kind -> tasks)."""
        more: JsonObject = {"carried_over": dict(carried)} if carried else {}
        body: JsonObject = {"accuracy": accuracy, "control": control, "confidences": dict(confidences), **more}
        return self._call("POST", f"/admin/projects/{project}/dial", body)

    def patterns(self, project: int, control: str = "", limit: int = 0) -> PatternsAnswer:
        """How many patterns there are by label, and how they fare; with `limit` the first of them, of one control."""
        from urllib.parse import urlencode

        query = urlencode({**({"control": control} if control else {}), **({"limit": limit} if limit else {})})
        return self._call("GET", f"/admin/projects/{project}/patterns?{query}")

    def put_patterns(self, project: int, control: str, how: str, rows: Sequence[JsonObject]) -> Order:
        """Keeps patterns of a control: "replace", "add" or "remove" them."""
        body: JsonObject = {"control": control, "how": how, "patterns": rows}
        return self._call("PUT", f"/admin/projects/{project}/patterns", body)

    def delete_patterns(self, project: int, control: str = "", label: str = "") -> Order:
        """Forgets those of a control, or of one of its labels."""
        from urllib.parse import urlencode

        return self._call(
            "DELETE", f"/admin/projects/{project}/patterns?{urlencode({'control': control, 'label': label})}"
        )

    def teacher(self, project: int, cost_of: int | None = None) -> TeacherAnswer:
        """Whom a teacher's run would ask, and how the last one fares; with the cost of one about so many texts (0: as
        many as may be)."""
        return self._call("GET", f"/admin/projects/{project}/teacher{'' if cost_of is None else f'?texts={cost_of}'}")

    def teach(self, project: int, texts: int | None = None) -> TeacherAnswer:
        """Begins a run, about `texts` texts at most."""
        return self._call("POST", f"/admin/projects/{project}/teacher", {} if texts is None else {"texts": texts})

    def stop_teacher(self, project: int, *, forget: bool = False) -> Order:
        """Ends the run, and forgets what was answered if so."""
        return self._call("DELETE", f"/admin/projects/{project}/teacher{'?forget=1' if forget else ''}")

    def encoder(self, project: int) -> EncoderAnswer:
        """How its change to the encoder of BASE_MODEL fares."""
        return self._call("GET", f"/admin/projects/{project}/encoder")

    def choose_encoder(self, project: int, wish: str) -> EncoderAnswer:
        """Decides it: take, keep or compare."""
        return self._call("POST", f"/admin/projects/{project}/encoder", {"wish": wish})

    def audit(self, limit: int) -> list[Action]:
        """What admins did, newest first."""
        return list(self._call("GET", f"/admin/audit?limit={limit}")["actions"])

    def login_link(self) -> LoginLink:
        """A link that logs a browser in to the model page, once."""
        link: LoginLink = self._call("POST", "/admin/login-link", {})
        return {**link, "url": f"{self.url}{link['path']}"}

    def retrain(self, project: int) -> Order:
        """Asks for a training; {"job", "status"}, of the one that is already there when it is."""
        return self._call("POST", f"/admin/projects/{project}/retrain", {})

    def rollback(self, project: int, version: str) -> Rollback:
        """Makes a kept version the live one."""
        return self._call("POST", f"/admin/projects/{project}/rollback", {"version": version})

    def show_spans(self, project: int, aim: str) -> Order:
        """Chooses what suggested spans are to be good for: clicks, f1 or default."""
        return self._call("POST", f"/admin/projects/{project}/show", {"spans": aim})

    def unpin(self, project: int) -> Order:
        """Ends a rollback: learning publishes by itself again."""
        return self._call("POST", f"/admin/projects/{project}/unpin", {})

    def resync(self, project: int) -> Order:
        """Asks for a reconciliation with Label Studio."""
        return self._call("POST", f"/admin/projects/{project}/resync", {})

    def plan(self, project: int) -> Order:
        """Asks for a new plan of the labelling queue."""
        return self._call("POST", f"/admin/projects/{project}/queue", {})

    def pool(self, project: int) -> PoolReport:
        """Duplicates and outliers among the unlabelled tasks."""
        return self._call("GET", f"/admin/projects/{project}/pool")

    def hunts(self, project: int) -> HuntsAnswer:
        """Scarce classes that are hunted, and orders."""
        return self._call("GET", f"/admin/projects/{project}/hunts")

    def hunt(self, project: int, order: JsonObject) -> Order:
        """Hunts a class."""
        return self._call("POST", f"/admin/projects/{project}/hunts", order)

    def stop_hunt(self, project: int, control: str, label: str) -> Order:
        """Hunts a class no longer."""
        from urllib.parse import urlencode

        query = urlencode({"control": control, "label": label})
        return self._call("DELETE", f"/admin/projects/{project}/hunts?{query}")

    def predict(self, project: int, labelled: bool) -> RunAnswer:
        """Asks for a run that predicts the whole project; of the one that is already there when it is."""
        return self._call("POST", f"/admin/projects/{project}/predict", {"all": labelled})

    def prediction(self, project: int) -> RunAnswer:
        """The newest such run, and how far it is."""
        return self._call("GET", f"/admin/projects/{project}/predict")

    def cancel_prediction(self, project: int) -> RunAnswer:
        """Ends it."""
        return self._call("POST", f"/admin/projects/{project}/predict/cancel", {})

    def predict_files(self, project: int, wanted: JsonObject) -> FileRunAnswer:
        """Asks for a run that predicts files; of the one that is already there when it is the same."""
        return self._call("POST", f"/admin/projects/{project}/files", wanted)

    def files(self, project: int) -> FileRunAnswer:
        """The newest such run, and how far it is."""
        return self._call("GET", f"/admin/projects/{project}/files")

    def cancel_files(self, project: int) -> FileRunAnswer:
        """Ends it."""
        return self._call("POST", f"/admin/projects/{project}/files/cancel", {})

    def export(self, project: int, wanted: JsonObject) -> ExportAnswer:
        """Asks for an export: the one that is not over when there is one."""
        return self._call("POST", f"/admin/projects/{project}/export", wanted)

    def exports(self, project: int) -> ExportAnswer:
        """The newest export and how far it is, and the archives that are there."""
        return self._call("GET", f"/admin/projects/{project}/export")

    def archive(self, path: str) -> Iterator[bytes]:
        """The bytes of an archive (its `path`), as they come."""
        with self._open("GET", path, None, stream=True) as reply:
            yield from reply.iter_content(STREAM_BYTES)

    def job(self, job: str) -> JobRecord:
        """State, step, of, epoch, metric, seconds left."""
        return self._call("GET", f"/admin/jobs/{job}")

    def cancel(self, job: str) -> JobRecord:
        """Asks a job to stop."""
        return self._call("POST", f"/admin/jobs/{job}/cancel", {})

    def dataset(self, project: int, test: float, people: str) -> Iterator[bytes]:
        """The lines of a project's data set, as they come."""
        from urllib.parse import urlencode

        path = f"/admin/projects/{project}/dataset?{urlencode({'test': test, 'people': people})}"
        with self._open("GET", path, None, stream=True) as reply:
            yield from reply.iter_lines(STREAM_BYTES)

    def _call(self, method: str, path: str, body: JsonObject | None = None) -> Any:
        """The JSON object that it answers: each method above says which."""
        with self._open(method, path, body) as reply:
            parsed = _parse(reply)
        if parsed is None:
            raise AdminError(f"{self.url}{path} answers {reply.status_code} {reply.reason}")
        return parsed

    @contextmanager
    def _open(
        self, method: str, path: str, body: JsonObject | None, *, stream: bool = False
    ) -> Iterator[requests.Response]:
        """A reply that says that all is well."""
        from backend.outbound.clients import open_session

        headers = {"Authorization": f"Bearer {self._token}"}
        with self._saying(path), open_session(self._settings, self.url) as session:
            patience = (TIMEOUT_SECONDS, STREAM_SECONDS if stream else TIMEOUT_SECONDS)
            reply = session.request(
                method, self.url + path, json=body, headers=headers, timeout=patience, stream=stream
            )
            if reply.status_code == 401:
                raise AdminError(
                    f"{self.url} refuses this admin token: it runs with another ADMIN_TOKEN or another DATA_DIR than "
                    f"{self._data_dir}"
                )
            if not reply.ok:
                told = _message(_parse(reply))
                kind = AdminAway if reply.status_code in AWAY_STATUSES else AdminError
                raise kind(told or f"{self.url}{path} answers {reply.status_code} {reply.reason}")
            yield reply

    @contextmanager
    def _saying(self, path: str) -> Iterator[None]:
        """What keeps a call from its reply, in words."""
        import requests

        from backend.outbound.clients import failure, route_of

        try:
            yield
        except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema) as error:
            raise AdminError(f"{self.url} is no URL: write it as http://host:port") from error
        except requests.exceptions.ChunkedEncodingError as error:
            raise AdminError(f"{self.url}{path} broke off: {error}") from error
        except requests.ConnectionError as error:
            if why := failure(error, self.url, route_of(self._settings, self.url)):
                raise AdminError(why) from error
            raise AdminAway(
                f"nothing answers at {self.url}: start it with `understudy up`, or set HOST and PORT (or --url) "
                "to where it runs"
            ) from error
        except (requests.exceptions.InvalidHeader, UnicodeError):
            raise AdminError("the admin token cannot be sent in a header: set another ADMIN_TOKEN") from None
        except requests.RequestException as error:
            raise AdminAway(f"{self.url} did not answer: {error}") from error


def _parse(reply: requests.Response) -> dict[str, Json] | None:
    try:
        body = reply.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _message(body: JsonObject | None) -> str:
    return plain((body or {}).get("message") or (body or {}).get("error") or "")
