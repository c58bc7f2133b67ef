"""The adapter for label-studio-ml 2.x, against a stand-in with that package's documented signatures (commit d02cedf).

The package itself cannot be installed from an index; the stand-in holds only what its server does with a model class.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.backend.routes.test_routes import annotation
from tests.support.rig import choices_config

CONFIG = choices_config(["A", "B"])


class LabelStudioMLBase:
    """The base class as documented: `__init__(project_id, label_config)`, get, set, and hooks to override."""

    cache: dict[tuple[str, str], str] = {}  # noqa: RUF012

    def __init__(self, project_id: str | None = None, label_config: str | None = None) -> None:
        self.project_id = project_id or ""
        if label_config is not None:
            self.set("label_config", label_config)
        self.setup()

    def setup(self) -> None: ...

    def get(self, key: str) -> Any:
        return self.cache.get((self.project_id, key))

    def set(self, key: str, value: str) -> None:
        self.cache[self.project_id, key] = value

    @property
    def label_config(self) -> Any:
        return self.get("label_config")


@pytest.fixture
def adapter(services: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    package, model, api = (ModuleType(f"label_studio_ml{part}") for part in ("", ".model", ".api"))
    model.LabelStudioMLBase = LabelStudioMLBase  # type: ignore[attr-defined]
    api.init_app = lambda model_class, basic_auth_user=None, basic_auth_pass=None: model_class  # type: ignore[attr-defined]
    for module in (package, model, api):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delitem(sys.modules, "backend.processes.label_studio_ml", raising=False)
    import backend.processes.label_studio_ml as module

    monkeypatch.setattr(module, "shared_services", lambda: services)
    yield module
    sys.modules.pop("backend.processes.label_studio_ml", None)
    sys.modules.pop("backend._wsgi", None)


def test_setup_predict_and_fit_go_through_the_same_serving_and_store(adapter: Any, services: Any) -> None:
    model = adapter.BertClassifier(project_id="7", label_config=CONFIG)
    assert model.get("model_version") == "v0"
    items = model.predict([{"id": 1, "data": {"text": "hello"}}, {"id": 2, "data": {}}], context=None, login=None)
    assert items[0]["model_version"] == "v0" and items[1] == []
    body = {"project": {"id": 7, "label_config": CONFIG}, **annotation(3)}
    assert model.fit("ANNOTATION_CREATED", body)["outcomes"] == {"stored": 1}
    assert model.fit("START_TRAINING", {"project": {"id": 7, "label_config": CONFIG}})["status"] == "queued"
    assert services.stores.examples.count(7) == 1
    assert model.fit("ANNOTATION_CREATED", {"project": {"id": "x"}, **annotation(4)})["error"] == "bad_request"


def test_a_project_of_none_is_tolerated(adapter: Any) -> None:
    assert adapter.BertClassifier(project_id="None", label_config=CONFIG).get("model_version") == "v0"


def test_the_wsgi_module_gives_that_packages_app_our_class(adapter: Any) -> None:
    from backend import _wsgi

    assert _wsgi.app is adapter.BertClassifier
    assert str(_wsgi.HERE) not in sys.path, "our file of that name must not hide the package"
