"""What an admin sees of the labels that are probably wrong; knows no HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import zip_longest

from backend.admin_json import DisputedAnswer, DisputedTask, Searched, Suspect, SuspectsAnswer
from backend.errors import Conflict, NotFound
from backend.labelstudio.label_display import spec_of, texts_of
from backend.labelstudio.records import ExampleRecord
from backend.record_json import LabelErrorRow
from backend.rules.consensus import label_keys
from backend.rules.relabel import list_label_errors
from backend.settings.settings import Settings
from backend.store.stores import Stores
from model.spec import NONE, Control, Kind, TaskSpec

NOTHING = (0, 0, NONE)
"""What an annotator says who marks or chooses nothing."""

EXCERPT_CHARACTERS, EXCERPT_JOIN = 120, " / "
"""Characters of a text that are shown, and what stands between a question and its passage."""

PUSH_SECONDS = 20.0
"""Longest wait for one reply of Label Studio while a person waits for all of them."""

DEFAULT_LIMIT_SUSPECTS = 100
"""Suspects given when no limit is asked for."""


def describe_suspects(
    stores: Stores, project: int, control: str = "", limit: int = DEFAULT_LIMIT_SUSPECTS
) -> SuspectsAnswer:
    """`suspects`: most suspicious first, over all controls or of one; `searched`: control -> rows that were looked at
    and when, empty before the first whole search; `not_searched`: controls that mark text and were not, if any. Raises
    NotFound for a control that has none."""
    entries = stores.label_errors.read_with_duplicates(project)
    if control:
        if entries and control not in entries:
            raise NotFound(f"control {control}: not searched here; those that were are {', '.join(entries)}")
        entries = {name: entry for name, entry in entries.items() if name == control}
    spec = spec_of(stores.projects.config(project))
    marking = [item.name for item in spec.spans] if spec else []
    lists = {
        name: [
            _suspect(name, row, *texts)
            for row, texts in zip(entry["rows"], _texts(spec, name, entry["rows"]), strict=True)
        ]
        for name, entry in entries.items()
    }
    rows = _in_order(lists, marking)
    searched: dict[str, Searched] = {
        name: {"labels": entry["searched"], "at": entry["at"]} for name, entry in entries.items() if entry["searched"]
    }
    found: SuspectsAnswer = {"suspects": rows[:limit], "found": len(rows), "searched": searched}
    if missing := [name for name in marking if name not in searched and control in ("", name)]:
        found["not_searched"] = missing
    if disputed := _disputed(stores, project, spec, control)[:limit]:
        found["disputed"] = disputed
    return found


def push_suspects(settings: Settings, stores: Stores, project: int) -> str:
    """Make a tab of Label Studio list them, and the disputed tasks; what came of it. Raises Conflict without a Label
    Studio, or while somebody else changes its tabs, and LabelStudioError."""
    from backend.jobs.sync.relabel_tab import describe_push, push_relabels
    from backend.labelstudio.rest.client import LabelStudioClient

    if not settings.has_label_studio:
        raise Conflict("set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY to list them in Label Studio")
    if not stores.label_stream.claim_tabs(project):
        raise Conflict("the tabs in Label Studio are being changed just now: press again in half a minute")
    try:
        # A thread of the web process waits for it, and so does a person.
        with LabelStudioClient.of(settings, attempts=1, read_seconds=PUSH_SECONDS) as client:
            pushed = push_relabels(client, project, list_label_errors(stores, project))
    finally:
        stores.label_stream.leave_tabs(project)
    return describe_push(pushed, project)


def _disputed(stores: Stores, project: int, spec: TaskSpec | None, control: str) -> list[DisputedTask]:
    """The most disputed tasks of each control, as the last refit found them, with what their annotations say now; a
    task that they agree on by now is left out."""
    found: list[DisputedTask] = []
    for name, rows in stores.projects.summary(project).get("disagreements", {}).items():
        known = spec.control(name) if spec and name in {item.name for item in spec.questions} else None
        if known is None or control not in ("", name):
            continue
        for row in rows:
            said = _by_person(known, stores.examples.of_task(project, row["task"]))
            if answers := _not_by_all(known, said):
                text = EXCERPT_JOIN.join(said[-1].texts[part] for part in reversed(known.inputs))
                found.append({"control": name, **row, "text": shorten(text), "answers": answers})
    return sorted(found, key=lambda row: (-row["score"], row["task"]))


def _by_person(control: Control, records: Sequence[ExampleRecord]) -> list[ExampleRecord]:
    """The newest answer of each annotator, the newest last; of tasks that were changed those to their present state."""
    people: dict[object, ExampleRecord] = {}
    for record in sorted(records, key=lambda one: (one.version, one.annotation)):
        if control.name in (record.spans if control.kind is Kind.SPANS else record.targets):
            people[record.annotation if record.annotator is None else ("person", record.annotator)] = record
    answers = [own for own in people.values() if all(name in own.texts for name in control.inputs)]
    answers.sort(key=lambda one: (one.version, one.annotation))
    return [own for own in answers if control.text_of(own.texts) == control.text_of(answers[-1].texts)]


def _not_by_all(control: Control, people: Sequence[ExampleRecord]) -> list[DisputedAnswer]:
    """What some of them say, and others do not."""
    votes: Counter[tuple[int, int, str]] = Counter()
    for record in people:
        if control.kind is Kind.SPANS:
            own = [(start, end, label) for start, end, label in record.spans[control.name]] or [NOTHING]
        else:
            own = [(0, 0, key) for key in label_keys(record.targets[control.name])] or [NOTHING]
        votes.update(dict.fromkeys(own, 1))
    found: list[DisputedAnswer] = []
    for (start, end, label), count in sorted(votes.items(), key=lambda item: (-item[1], item[0])):
        if count == len(people):
            continue
        row: DisputedAnswer = {"label": control.show(label) if label else "", "votes": count, "of": len(people)}
        if end:
            text = people[-1].texts[control.inputs[0]][start:end]
            row["place"] = {"start": start, "end": end, "text": shorten(text)}
        found.append(row)
    return found


def shorten(text: str) -> str:
    """Its beginning, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= EXCERPT_CHARACTERS else line[: EXCERPT_CHARACTERS - 1] + "…"


def _suspect(control: str, row: LabelErrorRow, given: str, suggested: str) -> Suspect:
    found: Suspect = {
        "control": control,
        "task": row["task"],
        "annotations": [int(id_) for id_ in row["annotations"]],
        "text": row["text"],
        "given": given,
        "suggested": suggested,
        "p_given": row["p_given"],
        "p_suggested": row["p_suggested"],
        "flag": row["flag"],
    }
    if "like" in row:
        found["like"] = row["like"]
    if "kind" in row:
        found["kind"] = row["kind"]
    if "given_span" in row:
        found["given_span"] = row["given_span"]
    if "suggested_span" in row:
        found["suggested_span"] = row["suggested_span"]
    return found


def _in_order(lists: Mapping[str, Sequence[Suspect]], marking: Sequence[str]) -> list[Suspect]:
    """Of choices by how unlikely what was given is. Marked text has an order of its own, which probabilities do not
    tell: its controls, and all choices together, take turns."""
    choices = [row for name, rows in lists.items() if name not in marking for row in rows]
    choices.sort(key=lambda row: (row["p_given"], row["task"]))
    turns = zip_longest(choices, *(lists[name] for name in marking if name in lists))
    return [row for turn in turns for row in turn if row is not None]


def _texts(spec: TaskSpec | None, control: str, rows: Sequence[LabelErrorRow]) -> list[tuple[str, str]]:
    """`given` and `suggested` of each row as people read them; of a set one of the two may be missing."""
    texts = texts_of(spec, control, [key for row in rows for key in (row["given"], row["suggested"]) if key])

    def shown(key: str) -> str:
        return texts[key] if key else ""

    return [(shown(row["given"]), shown(row["suggested"])) for row in rows]
