"""`understudy demo`: everything, and a Label Studio of its own with two ready projects: sample messages to classify,
and sentences whose names are to be marked."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from model.spans.documents import read_documents

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SAMPLE_FILE = EXAMPLES / "support_messages.csv"
MARKED_FILE = EXAMPLES / "named_entities.jsonl"
SAMPLE_TASKS = 300
LABEL_STUDIO_PORT = 8080


@dataclass(frozen=True)
class DemoProject:
    """A project to be made. `remembered`: the file beside Label Studio's data that holds its number."""

    title: str
    remembered: str
    label_config: str
    texts: Sequence[str]


def run_demo(settings: Settings) -> NoReturn:
    """Start Label Studio (installed on first use), then everything else; makes the project once the models serve.

    Ends as `understudy up` does, Label Studio included."""
    for file in (SAMPLE_FILE, MARKED_FILE):
        if not file.is_file():
            raise SettingsError(f"the sample texts are not at {file}: run the demo from a checkout")
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


def prepare_projects(settings: Settings) -> None:
    """Make the demo's projects if they are not there, connect them, and say how to log in. Runs once models serve."""
    for line in _prepare(settings):
        say(line)


def _prepare(settings: Settings) -> Iterator[str]:
    pages: list[str] = []
    for project in demo_projects():
        number = _number_of(settings, project)
        yield from run_connect(settings, number)
        pages.append(f"{settings.label_studio_url}/projects/{number}/data   {project.title}")
    account = json.loads((settings.data_dir / "label-studio" / "data" / "account.json").read_text(encoding="utf-8"))
    yield from ("", f"Label Studio:  {pages[0]}", *(f"               {page}" for page in pages[1:]))
    yield f"Log in as:     {account['username']}   password: {account['password']}"
    yield from ("Open a project, press Label All Tasks, and watch the pre-labels get better.", "")
    yield "For `understudy doctor`, `connect` and `disconnect` in another terminal, give them the demo's token:"
    yield f"  export LABEL_STUDIO_URL={settings.label_studio_url} LABEL_STUDIO_API_KEY_FILE={keep_token(settings)}"
    yield ""


def keep_token(settings: Settings) -> Path:
    """The file, which its owner alone can read, that holds the token of the demo's Label Studio."""
    path = (settings.data_dir / "label-studio" / "token").absolute()
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(settings.label_studio_api_key.get_secret_value())
    return path


def _number_of(settings: Settings, project: DemoProject) -> int:
    """In Label Studio, where it is made unless it was."""
    remembered = settings.data_dir / "label-studio" / project.remembered
    if remembered.is_file():
        return int(remembered.read_text(encoding="utf-8"))
    with LabelStudioClient.of(settings) as client:
        number = int(client.create_project(project.title, project.label_config)["id"])
        client.tasks.add(number, [{"data": {"text": text}} for text in project.texts])
    remembered.write_text(str(number), encoding="utf-8")
    return number


def demo_projects() -> tuple[DemoProject, ...]:
    """One to choose a label, one to mark names."""
    rows, marked = sample_rows(), read_documents(MARKED_FILE)
    labels = sorted({span.label for document in marked for span in document.spans})
    sentences = [document.text for document in marked]
    return (
        DemoProject("Support messages", "project", label_config(), [text for text, _ in rows[:SAMPLE_TASKS]]),
        DemoProject("Names in texts", "project-names", span_label_config(labels), sentences),
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


def span_label_config(labels: Sequence[str]) -> str:
    """Labels to mark parts of one text with."""
    drawn = "".join(f"<Label value={quoteattr(label)}/>" for label in labels)
    return (
        f'<View><Labels name="label" toName="text">{drawn}</Labels>'
        '<Text name="text" value="$text" granularity="word"/></View>'
    )
