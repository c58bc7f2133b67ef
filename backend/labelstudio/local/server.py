"""A real Label Studio on this machine, for `understudy demo` and the end-to-end tests."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from backend.errors import LabelStudioError
from backend.labelstudio.local.installation import NO_REPORTING, USUAL_PATH, Installation, Tell
from backend.settings.settings import child_environment
from backend.supervision.parent_death import die_with

PRIVATE_ADDRESSES = {"ML_BLOCK_LOCAL_IP": "false", "SSRF_PROTECTION_ENABLED": "false"}
"""Without both, Label Studio 1.23 calls no backend on this machine, or sends it no annotation."""

START_SECONDS = 180.0
"""A migrated data directory takes about 6 s, one of an older release is migrated first."""


@dataclass(frozen=True)
class Account:
    """The one user of a local Label Studio. `access_token` is a personal access token, empty before the first start."""

    username: str
    password: str
    legacy_token: str
    access_token: str = ""


class LabelStudioServer:
    """Label Studio as a context manager.

        with LabelStudioServer(Path("~/.cache/label-studio").expanduser()) as studio:
            LabelStudioClient(studio.url, studio.access_token)

    `cache` keeps what is made once (minutes), see Installation; `venv` is an environment that has Label Studio
    already, or shall have it. With `data_dir` projects, user and tokens outlive the server; without, each start is a
    fresh Label Studio. `legacy_tokens` off is Label Studio's own default. `environment` goes to Label Studio, over
    PRIVATE_ADDRESSES; a value of "" there brings its default back."""

    def __init__(
        self,
        cache: Path,
        *,
        venv: Path | None = None,
        data_dir: Path | None = None,
        port: int = 0,
        username: str = "understudy@example.com",
        legacy_tokens: bool = True,
        environment: Mapping[str, str] | None = None,
        tell: Tell = lambda text: None,
    ) -> None:
        self._installation = Installation(cache, venv, tell)
        self._tell = tell
        self._keep = data_dir is not None
        self.data_dir = data_dir.absolute() if data_dir else Path(tempfile.gettempdir()) / f"ls-{secrets.token_hex(6)}"
        self.port = port
        self.account = Account(username, secrets.token_urlsafe(12), secrets.token_hex(20))
        self._legacy_tokens = legacy_tokens
        self._environment = {**PRIVATE_ADDRESSES, **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def legacy_token(self) -> str:
        """The user's legacy token; refused when `legacy_tokens` is off."""
        return self.account.legacy_token

    @property
    def access_token(self) -> str:
        """The user's personal access token."""
        return self.account.access_token

    @property
    def log(self) -> Path:
        """What Label Studio prints."""
        return self.data_dir / "server.log"

    def __enter__(self) -> LabelStudioServer:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def start(self, timeout: float = START_SECONDS) -> float:
        """Start and wait until it answers; seconds that took, without a first installation.

        Raises LabelStudioError with the end of the log. Must be called from a thread that lives as long as the
        server shall: it is killed when that thread ends."""
        self._installation.ensure()
        if not (self.data_dir / "label_studio.sqlite3").exists():
            self._installation.new_data_dir(self.data_dir)
        self._load_account()
        self.port = self.port or _free_port()
        began = time.monotonic()
        self._tell(f"Starting Label Studio on {self.url}")
        self._spawn()
        try:
            self._wait(began + timeout)
            if not self.access_token:
                self._save_account(
                    access_token=_make_access_token(self.url, self.account.username, self.account.password)
                )
        except BaseException:
            self.kill()
            raise
        return time.monotonic() - began

    def stop(self, timeout: float = 10.0) -> None:
        """SIGTERM, and SIGKILL when that is not enough."""
        self._end(signal.SIGTERM, timeout)

    def kill(self) -> None:
        """SIGKILL, as an outage would."""
        self._end(signal.SIGKILL, 10.0)

    def close(self) -> None:
        """Stop, and remove a data directory that is not to be kept."""
        self.stop()
        if not self._keep:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def _spawn(self) -> None:
        parent = os.getpid()
        command = [str(self._installation.command), "start", "--no-browser", "--internal-host", "127.0.0.1"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port), "--data-dir", str(self.data_dir)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._child_environment(),
                start_new_session=True,
                preexec_fn=lambda: die_with(parent),
            )

    def _child_environment(self) -> dict[str, str]:
        """Secrets travel here, not in the arguments that every user of the machine can read."""
        wanted = {
            **NO_REPORTING,
            **USUAL_PATH,
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.data_dir),
            "LABEL_STUDIO_HOST": self.url,
            "LABEL_STUDIO_PORT": str(self.port),
            "LABEL_STUDIO_USERNAME": self.account.username,
            "LABEL_STUDIO_PASSWORD": self.account.password,
            "LABEL_STUDIO_USER_TOKEN": self.legacy_token,
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": str(self._legacy_tokens).lower(),
            **self._environment,
        }
        environment = child_environment(**wanted)
        # Label Studio would take these settings of ours for its own.
        ours = ("HOST", "PORT", "LOG_LEVEL", "LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY")
        dropped = {*ours, *(name for name, value in self._environment.items() if not value)}
        return {name: value for name, value in environment.items() if name not in dropped}

    def _wait(self, deadline: float) -> None:
        import requests

        session = requests.Session()
        session.trust_env = False  # no proxy leads to this machine
        while time.monotonic() < deadline and self.process is not None and self.process.poll() is None:
            try:
                if session.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.1)
        end = self.log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise LabelStudioError(f"Label Studio does not answer at {self.url}, see {self.log}:\n{end}")

    def _end(self, signum: int, timeout: float) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        for number, patience in ((signum, timeout), (signal.SIGKILL, 10.0)):
            if process.poll() is None:
                os.killpg(process.pid, number)
                try:
                    process.wait(patience)
                except subprocess.TimeoutExpired:
                    continue

    @property
    def _account_file(self) -> Path:
        return self.data_dir / "account.json"

    def _load_account(self) -> None:
        """A kept data directory has its user already."""
        if self._account_file.exists():
            self.account = Account(**json.loads(self._account_file.read_text(encoding="utf-8")))
        else:
            self._save_account()

    def _save_account(self, **changes: str) -> None:
        self.account = Account(**{**asdict(self.account), **changes})
        with open(os.open(self._account_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(asdict(self.account), file)


def _make_access_token(url: str, username: str, password: str) -> str:
    """A personal access token, made as a user does in the page: form login, then the API. Raises LabelStudioError."""
    import requests

    with requests.Session() as session:
        session.trust_env = False  # on this machine
        session.headers["Referer"] = url
        session.get(f"{url}/user/login/", timeout=60)
        form = {"email": username, "password": password, "csrfmiddlewaretoken": session.cookies.get("csrftoken", "")}
        session.post(f"{url}/user/login/", data=form, timeout=60, allow_redirects=False)
        headers = {"X-CSRFToken": session.cookies.get("csrftoken", "")}
        reply = session.post(f"{url}/api/token/", headers=headers, timeout=60)
    if reply.status_code != 201:
        raise LabelStudioError(f"Label Studio gives {username} no access token: {reply.status_code}")
    return str(reply.json()["token"])


def _free_port() -> int:
    """A TCP port of the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
