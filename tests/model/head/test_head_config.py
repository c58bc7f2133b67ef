"""Heads on disk: what any release wrote is read, and is written again as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.decoding.answers import SetRules
from model.head.head_config import HeadConfig

WRITTEN: dict[str, Any] = {
    "kind": "linear",
    "labels": ["a", "b"],
    "multilabel": True,
    "temperature": 1.25,
    "zero_share": 0.1,
    "humility": 0.5,
    "threshold": 0.34,
    "members": [
        {"view": "last", "words": True, "prior": 10.0, "strength": 3.0, "weight": 0.75, "has_words": True},
        {"view": "layers", "words": False, "prior": 0.0, "strength": 30.0, "weight": 0.25, "has_words": False},
    ],
    "vocabulary": ["good", "bad"],
    "centred": True,
    "taught": {"labels": ["A", "B"], "multilabel": False, "activation": "tanh", "epsilon": 1e-05, "columns": [1, -1]},
    "n": 90,
    "searched": 85,
    "oof": {"log_loss": 0.3, "micro_f1": 0.8},
    "nonempty": True,
    "thresholds": {"a": 0.3, "b": 0.4},
    "set_confidence": [0.1, 0.9],
    "smoothing": 0.0,
    "ancestors": False,
    "served_temperature": 1.3,
}
"""Everything that a head may say, in the order in which it is written."""

ALWAYS = ("kind", "labels", "multilabel", "temperature", "zero_share", "humility", "threshold", "members", "vocabulary")


@given(st.sets(st.sampled_from([name for name in WRITTEN if name not in ALWAYS])))
def test_what_was_written_is_written_again_to_the_letter(left_out: set[str]) -> None:
    data = {name: value for name, value in WRITTEN.items() if name not in left_out}
    assert json.dumps(HeadConfig.from_json(json.loads(json.dumps(data))).to_json()) == json.dumps(data)


def test_what_was_written_has_its_meaning() -> None:
    config = HeadConfig.from_json(WRITTEN)
    assert (config.uniform_share, config.searched, config.details.count) == (0.5, 85, 90)
    assert [(m.choice.view, m.choice.strength, m.weight) for m in config.members] == [
        ("last", 3.0, 0.75),
        ("layers", 30.0, 0.25),
    ]
    assert config.details.sets == SetRules(None, True, {"a": 0.3, "b": 0.4}, (0.1, 0.9))
    assert config.details.served_temperature == 1.3
    early = HeadConfig.from_json({name: WRITTEN[name] for name in ALWAYS if name != "humility"})
    assert (early.uniform_share, early.searched) == (0.1, 0), "heads were humble before it was written"
    assert config.centred and not early.centred


def test_entries_of_a_later_release_are_passed_over() -> None:
    assert HeadConfig.from_json({**WRITTEN, "later": [1]}) == HeadConfig.from_json(WRITTEN)


@pytest.mark.parametrize("name", [name for name in ALWAYS if name not in ("kind", "humility")])
def test_a_head_that_lacks_something_is_none(name: str) -> None:
    with pytest.raises(KeyError):
        HeadConfig.from_json({key: value for key, value in WRITTEN.items() if key != name})


def test_a_blend_replaces_only_what_was_fitted_for_it() -> None:
    own = SetRules.from_json({"threshold": 0.3, "nonempty": True})
    assert own.to_json() == {"threshold": 0.3, "nonempty": True} and SetRules.from_json({}).to_json() == {}
