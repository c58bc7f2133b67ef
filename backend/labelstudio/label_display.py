"""Labels as people read them on screens and in the admin's JSON: texts for keys, never one text for two labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from backend.errors import BadRequest, UnsupportedConfig
from backend.labelstudio.task_spec import parse_label_config
from model.labels import fold_name, path_of, shown_labels
from model.spec import Control, TaskSpec


def spec_of(config: str | None) -> TaskSpec | None:
    """What a stored label config asks for; None for one that is unknown or holds nothing to learn."""
    try:
        return parse_label_config(config or "")
    except (UnsupportedConfig, BadRequest):
        return None


def texts_of(spec: TaskSpec | None, control: str, keys: Iterable[str]) -> Mapping[str, str]:
    """The text of each of these keys (and of the control's labels) on a screen: labels that are no longer in the
    config, or only in task data, included."""
    known = _control(spec, control)
    if known is None:
        return shown_labels(keys)
    others = [key for key in keys if key not in known.shown]
    return shown_labels((*known.keys(), *others)) if others else known.shown


_JOINT = re.compile(r"\s*[/>\u203a\u2192]\s*")
"""How people write the steps of a path."""


def find_keys(texts: Mapping[str, str], name: str) -> list[str]:
    """The keys that people may mean by a name, of these with what is shown of each: the one that is called so to the
    letter, else those that are but for case and what joins words, else those whose path ends so."""
    if exact := [key for key, text in texts.items() if name in (key, text)]:
        return exact
    wanted = _fold(name)
    return [key for key, text in texts.items() if _fold(text) == wanted] or [
        key for key in texts if fold_name(path_of(key)[-1]) == wanted
    ]


def _fold(name: str) -> str:
    return "/".join(map(fold_name, _JOINT.split(name.strip())))


def rename_counts(spec: TaskSpec | None, counts: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Control -> text -> count, from control -> key -> count."""
    texts = {name: texts_of(spec, name, by_key) for name, by_key in counts.items()}
    return {name: {texts[name][key]: count for key, count in by_key.items()} for name, by_key in counts.items()}


def _control(spec: TaskSpec | None, name: str) -> Control | None:
    controls = () if spec is None else (*spec.questions, *spec.regions)
    return next((control for control in controls if control.name == name), None)
