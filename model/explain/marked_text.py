"""Reasons for what a live version marks in a text, and what it is compared with: of whatever kind its head is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from model.explain.answer_reasons import AnswerReasons
from model.explain.nearest_spans import MarkedText, SpanIndex
from model.explain.span_reasons import SpanReasons
from model.questions.head import QuestionHead
from model.spec import Control, Document

if TYPE_CHECKING:
    from model.versions.live_model import LiveModel
    from model.versions.span_answers import SpanTools

MarkReasons = SpanReasons | AnswerReasons
"""Of the spans of one text, or of the answers to one question."""


def reasons_of(model: LiveModel, control: Control, document: Document) -> MarkReasons:
    """Of what a control marks in a document that holds its inputs. Raises ValueError in a model without tools."""
    head, tools, text = model.span_heads[control.name], _tools(model), document[control.inputs[0]]
    if isinstance(head, QuestionHead):
        pair = (text, document[control.inputs[1]])
        blended = model.look(control.name, [pair])[0][1] if model.is_blend(control.name) else None
        return AnswerReasons(head, tools.questions.read([pair])[0], tools.aim, blended)
    return SpanReasons(model.answerer(control.name), tools.reader.read([text])[0])


def index_of(model: LiveModel, control: Control, marked: Sequence[MarkedText]) -> SpanIndex:
    """The annotated spans of a control that were read before, from texts with the newest first. Raises as above."""
    head, tools = model.span_heads[control.name], _tools(model)
    if isinstance(head, QuestionHead):
        return SpanIndex.of_spans(tools.questions.words, head.scale, marked)
    return SpanIndex.of_spans(tools.reader, head.space.scale, marked)


def _tools(model: LiveModel) -> SpanTools:
    if model.tools is None:
        raise ValueError("spans cannot be read without the encoder's word states")
    return model.tools
