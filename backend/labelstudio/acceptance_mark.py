"""Annotations that `understudy accept` made from predictions: how they are marked, and told from a person's.

The mark stands in the `meta` of every region of the result, which the API of Label Studio keeps (seen in 1.23.2; its
editor's saves were not looked at). It holds a digest of the answer, so an answer that a person changed bears the mark
no more; a person who saves it unchanged leaves a lead time, which the mark has none of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

MARK = "understudy"

Regions = Sequence[Mapping[str, Any]]


def mark_result(result: Regions, run: str) -> list[dict[str, Any]]:
    """The regions of a prediction, each with the mark of this run in its meta."""
    digest = _digest(result)
    return [{**region, "meta": {**_meta(region), MARK: {"accepted": run, "digest": digest}}} for region in result]


def accepted_by(annotation: Mapping[str, Any]) -> str:
    """The run that made this annotation; "" for one by a person, or that a person has changed, saved again, copied or
    made a ground truth."""
    result = annotation.get("result")
    if not isinstance(result, list) or not result or not all(isinstance(region, Mapping) for region in result):
        return ""
    if _is_of_person(annotation):
        return ""
    marks = [_meta(region).get(MARK) for region in result]
    first = marks[0]
    if not isinstance(first, Mapping) or any(mark != first for mark in marks) or first.get("digest") != _digest(result):
        return ""
    return str(first.get("accepted") or "")


def is_copied_prediction(annotation: Mapping[str, Any]) -> bool:
    """Whether Label Studio made this annotation from a prediction (in the Data Manager, many at a time) and no person
    has saved it since: nobody left a question blank in it. A blind task's prediction chooses nothing on purpose."""
    return bool(annotation.get("parent_prediction")) and not _is_of_person(annotation)


def _is_of_person(annotation: Mapping[str, Any]) -> bool:
    """Whether a person saved it, copied it or made it a ground truth."""
    return bool(annotation.get("lead_time") or annotation.get("ground_truth") or annotation.get("parent_annotation"))


def _meta(region: Mapping[str, Any]) -> Mapping[str, Any]:
    meta = region.get("meta")
    return meta if isinstance(meta, Mapping) else {}


def _digest(result: Regions) -> str:
    """Of what is answered: ids and geometry aside, which an editor may write anew."""
    said = sorted(json.dumps([region.get("from_name"), region.get("value")], sort_keys=True) for region in result)
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]
