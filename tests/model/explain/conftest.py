"""The fixtures of marked text: explanations are of its heads."""

from tests.model.spans.conftest import learner, prior, reader

__all__ = ["learner", "prior", "reader"]
