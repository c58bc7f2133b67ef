"""Patterns that an admin brings for a control that marks text: taken, told and removed; knows no HTTP."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from backend.admin_json import ControlPatterns, Order, PatternFigures, PatternRow, PatternsAnswer
from backend.errors import BadPattern, BadRequest, StoreUnavailable
from backend.labelstudio.task_spec import parse_label_config, span_config_of
from backend.record_json import PatternsFared
from backend.store.stores import Stores
from model.spec import Json, JsonObject, TaskSpec

if TYPE_CHECKING:
    from model.spans.patterns.lexicon import Lexicon
    from model.spans.patterns.pattern import Pattern
    from model.spec import Control

log = logging.getLogger(__name__)

LABELS_NAMED = 10
"""Labels that a message lists."""

How = Literal["replace", "add", "remove"]
HOW: tuple[How, ...] = ("replace", "add", "remove")


def describe_patterns(stores: Stores, project: int, control: str = "", limit: int = 0) -> PatternsAnswer:
    """How many patterns there are of each label, and how they fare; with `limit` the first of them, of one control.
    Raises BadRequest for a control that marks no text, and where none does."""
    known = count_patterns(stores, project)
    found = {name: own for name, own in known.items() if control in ("", name)}
    if not found and (control or not _names(_spec(stores, project))):
        _control(_spec(stores, project), control)
    answer: PatternsAnswer = {"patterns": found, "pending": stores.patterns.is_pending(project)}
    if limit:
        text = stores.patterns.text(project, _control(_spec(stores, project), control).name)
        answer["rows"] = [_row(pattern) for pattern in _read(text)[:limit]]
    return answer


def count_patterns(stores: Stores, project: int) -> dict[str, ControlPatterns]:
    """By control: how many patterns there are of each label, and how they fare."""
    known = stores.patterns.about(project)
    learned = stores.projects.summary(project).get("patterns", {}) if known else {}
    return {
        name: {
            "digest": own["digest"],
            "at": own["at"],
            "bytes": own["bytes"],
            "labels": {label: _figures(n, learned.get(name, {}).get(label)) for label, n in own["counts"].items()},
        }
        for name, own in known.items()
    }


def _figures(count: int, fared: PatternsFared | None) -> PatternFigures:
    figures: PatternFigures = {"patterns": count}
    if fared is not None:
        figures |= {"tried": fared["tried"], "right": fared["right"], "weight": fared["weight"]}
    return figures


def put_patterns(stores: Stores, project: int, body: JsonObject) -> Order:
    """Keep the patterns of a control: in place of those that are there, beside them, or take them out. Raises
    BadPattern for one that cannot be used, BadRequest, and StoreUnavailable."""
    from model.spans.patterns.lexicon import build_lexicon
    from model.spans.patterns.pattern import PatternError

    spec, how = _spec(stores, project), body.get("how", "replace")
    if how not in HOW:
        raise BadRequest(f"how: one of {', '.join(HOW)}", field="how")
    control = _control(spec, body.get("control", ""))
    rows = body.get("patterns")
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        what = "a list of objects is needed, each with a label and a pattern or a regex"
        raise BadRequest(f"patterns: {what}", field="patterns")
    try:
        given = [_pattern(row, spec, control) for row in rows]
        before = [] if how == "replace" else _read(stores.patterns.text(project, control.name))
        gone = set(given) if how == "remove" else set()
        lexicon = build_lexicon([one for one in before if one not in gone] + ([] if how == "remove" else given))
    except PatternError as error:
        raise BadPattern(error.message, **error.evidence) from None
    return _keep(stores, project, control, lexicon)


def remove_patterns(stores: Stores, project: int, control: str = "", label: str = "") -> Order:
    """Forget the patterns of a control, or of one of its labels. Raises BadRequest and StoreUnavailable."""
    from model.spans.patterns.lexicon import build_lexicon

    spec = _spec(stores, project)
    if control in stores.patterns.about(project) and control not in _names(spec):
        name, rest = control, []  # of a control that the label config has no more
    else:
        name = _control(spec, control).name
        known = _names_of(spec, name)
        key = known.get(label.strip(), label.strip())
        rest = [one for one in _read(stores.patterns.text(project, name)) if one.label != key] if key else []
    if rest:
        return _keep(stores, project, _control(spec, name), build_lexicon(rest))
    gone = stores.patterns.remove(project, name)
    _ask(stores, project)
    return {"message": f"{name}: no patterns any more" if gone else f"{name}: there were no patterns"}


def _keep(stores: Stores, project: int, control: Control, lexicon: Lexicon) -> Order:
    if not lexicon.patterns:
        stores.patterns.remove(project, control.name)
        _ask(stores, project)
        return {"message": f"{control.name}: no patterns any more"}
    stores.patterns.save(project, control.name, lexicon)
    _ask(stores, project)
    counts = [f"{control.show(label)} {count}" for label, count in lexicon.counts().items()]
    when = "the next version has learned them"
    if pinned := stores.versions.pinned(project):
        when = f"learned once the project is released from {pinned} (`understudy unpin {project}`)"
    return {"message": f"{control.name}: {len(lexicon.patterns)} patterns ({_few(counts)}); {when}"}


def _few(names: Sequence[str]) -> str:
    more = len(names) - LABELS_NAMED
    return ", ".join(names[:LABELS_NAMED]) + (f" and {more} more" if more > 0 else "")


def _ask(stores: Stores, project: int) -> None:
    with suppress(StoreUnavailable):  # they are kept by now: the scheduler asks again for a refit that is lost here
        stores.failures.release(project, "refit")
        stores.jobs.enqueue_refit(project)


def _spec(stores: Stores, project: int) -> TaskSpec:
    return parse_label_config(stores.projects.config(project))


def _names(spec: TaskSpec) -> list[str]:
    return [control.name for control in spec.spans if control.question is None]


def _control(spec: TaskSpec, name: Json) -> Control:
    """The control of this name, or the only one. Raises BadRequest."""
    names = _names(spec)
    if not names:
        raise BadRequest("control: the label config has no control whose spans patterns could mark", field="control")
    wanted = name or (names[0] if len(names) == 1 else "")
    if wanted not in names:
        asked = f"{str(name)[:80]!r} marks no text here" if name else "several mark text: say which (--control NAME)"
        raise BadRequest(f"control: {asked}; there is {', '.join(names)}", field="control")
    return spec.control(str(wanted))


def _names_of(spec: TaskSpec, control: str) -> Mapping[str, str]:
    """Alias or value of a label -> the name that its spans bear."""
    own = span_config_of(spec).by_name.get(control)
    return own.names if own is not None else {}


def _pattern(row: Json, spec: TaskSpec, control: Control) -> Pattern:
    from model.spans.patterns.pattern_file import pattern_of

    line = row.get("line") if isinstance(row, Mapping) else None
    found = pattern_of(row, line if isinstance(line, int) else 0)
    name = _names_of(spec, control.name).get(found.label)
    if name is None and control.options_field is None:
        known = _few([control.show(label.path[0]) for label in control.labels])
        place = f"line {found.line}, " if found.line else ""
        message = f'{place}field "label": {found.label[:80]!r} is no label of {control.name}; it has {known}'
        raise BadPattern(message, field="label", line=found.line)
    return replace(found, label=name or found.label)


def _read(text: str | None) -> list[Pattern]:
    """What is stored; nothing of what cannot be read."""
    from model.spans.patterns.lexicon import read_lexicon

    try:
        return list(read_lexicon(text).patterns) if text is not None else []
    except (ValueError, KeyError, TypeError) as error:
        log.error("stored patterns cannot be read: %r", error)
        return []


def _row(pattern: Pattern) -> PatternRow:
    own: PatternRow = {"label": pattern.label}
    if pattern.is_regex:
        own["regex"] = pattern.text
    else:
        own["pattern"] = pattern.text
    return {**own, "ignore_case": True} if pattern.ignore_case else own
