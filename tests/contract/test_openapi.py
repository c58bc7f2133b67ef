"""The OpenAPI document describes every route as it is: schemathesis makes calls from it, good and bad, and checks the
replies against it."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from backend.routes.app import create_app
from backend.web.openapi import path_of
from backend.web.openapi_bodies import OPERATIONS, SCHEMAS
from backend.web.policy import POLICIES
from tests.support.events import create
from tests.support.tiny import PROJECT, settings, tiny_base  # noqa: F401

BEYOND_SCHEMAS = ("/setup", "/predict", "/train", "/webhook", "/webhook/{secret}")
ALL = list(HealthCheck)
ADMIN = {"Authorization": "Bearer admin"}


def test_the_document_covers_exactly_the_routes(client: Any) -> None:
    document = client.get("/openapi.json").get_json()
    described = {f"{method.upper()} {path}" for path, some in document["paths"].items() for method in some}
    assert described == {" ".join((route.split()[0], path_of(route.split()[1]))) for route in POLICIES}
    used = {name for item in OPERATIONS.values() for name in (item.body, item.answer)}
    text = str(document)
    assert used - {""} <= set(SCHEMAS) and all(f"schemas/{name}'" in text for name in SCHEMAS)


@pytest.fixture
def document(services: Any) -> Any:
    """The document, with the application that it describes: one project with a label."""
    app = create_app(services)
    create(app.test_client(), 1)
    # What is not in the document is passed over, as Label Studio's many fields are.
    config = schemathesis.Config.from_dict({"generation": {"allow-extra-parameters": False}})
    return schemathesis.openapi.from_wsgi("/openapi.json", app, config=config)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_reply_is_as_described(document: Any, mode: GenerationMode) -> None:
    operations = [found.ok() for found in document.get_all_operations()]
    assert len(operations) == len(POLICIES) - 1, "all but the document itself"
    if mode is GenerationMode.NEGATIVE:  # a call of the others has nothing that could be wrong
        operations = [item for item in operations if item.body or item.path_parameters or item.query]
        operations = [item for item in operations if "/static/" not in item.path]  # any text may name a file
    assert [what for item in operations if (what := violation(item, mode))] == []


def violation(operation: Any, mode: GenerationMode) -> str:
    """What schemathesis finds in the replies of one route; all of its checks, but for `unfit`."""

    @hypothesis_settings(max_examples=8, deadline=None, derandomize=True, database=None, suppress_health_check=ALL)
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        headers = ADMIN if case.path.startswith(("/admin", "/ui")) else None
        case.call_and_validate(headers=headers, excluded_checks=unfit(operation.path))

    try:
        check()
    except Exception as failure:
        return f"{operation.label}: {failure}"
    return ""


def unfit(path: str) -> list[Any]:
    """Checks that do not fit: what makes a label config or an event usable no schema can say."""
    return [positive_data_acceptance] if path in BEYOND_SCHEMAS or path.endswith("/explain") else []
