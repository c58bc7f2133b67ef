"""`understudy demo`: everything, and a Label Studio of its own with a ready project on the sample messages."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn
from xml.sax.saxutils import quoteattr

from backend.addresses.listening import require_free_port
from backend.connection.connect import run_connect
from backend.errors import SettingsError
from backend.labelstudio.local.server import LabelStudioServer
from backend.labelstudio.rest.client import LabelStudioClient
from backend.processes.up import run_up
from backend.screen import say
from backend.settings.settings import Settings, load_settings

SAMPLE_FILE = Path(__file__).parents[2] / "docs" / "examples" / "support_messages.csv"
PROJECT_TITLE = "Support messages"
SAMPLE_TASKS = 300
LABEL_STUDIO_PORT = 8080


def run_demo(settings: Settings) -> NoReturn:
    """Start Label Studio (installed on first use), then everything else; makes the project once the models serve.

    Ends as `understudy up` does, Label Studio included."""
    if not SAMPLE_FILE.is_file():
        raise SettingsError(f"the sample messages are not at {SAMPLE_FILE}: run the demo from a checkout")
    require_free_port("127.0.0.1", LABEL_STUDIO_PORT)
    server = LabelStudioServer(
        settings.data_dir / "label-studio" / "installation",
        data_dir=settings.data_dir / "label-studio" / "data",
        port=LABEL_STUDIO_PORT,
        tell=say,
    )
    server.start()
    # The supervisor takes this process's place: Label Studio stays its child, and ends with it.
    with_studio = load_settings(
        host=settings.host,
        port=settings.port,
        data_dir=settings.data_dir,
        label_studio_url=server.url,
        label_studio_api_key=server.access_token,
    )
    run_up(with_studio, console=("console", "--demo"))


def prepare_project(settings: Settings) -> None:
    """Make the demo's project if it is not there, connect it, and say how to log in. Runs once the models serve."""
    for line in _prepare(settings):
        say(line)


def _prepare(settings: Settings) -> Iterator[str]:
    with LabelStudioClient.of(settings) as client:
        remembered = settings.data_dir / "label-studio" / "project"
        if remembered.is_file():
            project = int(remembered.read_text(encoding="utf-8"))
        else:
            project = int(client.create_project(PROJECT_TITLE, label_config())["id"])
            client.tasks.add(project, [{"data": {"text": text}} for text, _ in sample_rows()[:SAMPLE_TASKS]])
            remembered.write_text(str(project), encoding="utf-8")
    yield from run_connect(settings, project)
    account = json.loads((settings.data_dir / "label-studio" / "data" / "account.json").read_text(encoding="utf-8"))
    yield (
        f"\nLabel Studio:  {settings.label_studio_url}/projects/{project}/data\n"
        f"Log in as:     {account['username']}   password: {account['password']}\n"
        "Open the project, press Label All Tasks, and watch the pre-labels get better.\n"
    )


def sample_rows() -> list[tuple[str, str]]:
    """(text, label) of the sample messages."""
    with SAMPLE_FILE.open(newline="", encoding="utf-8") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def label_config() -> str:
    """One single choice over one text."""
    labels = sorted({label for _, label in sample_rows()})
    choices = "".join(f"<Choice value={quoteattr(label)}/>" for label in labels)
    return (
        '<View><Text name="text" value="$text"/>'
        f'<Choices name="label" toName="text" choice="single">{choices}</Choices></View>'
    )
