"""The alert rules are valid PromQL over series that the application has, and each says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

DOCS = Path(__file__).parents[2] / "docs"
RULES = [
    rule
    for group in yaml.safe_load((DOCS / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
NAMES = [rule["alert"] for rule in RULES]
ADDED = {"instance", "job"}
"""Labels that Prometheus adds to every series."""


def parts(expression: str) -> Iterator[Any]:
    """All nodes of the expression's tree. Raises ValueError for what is no PromQL."""
    found: list[Any] = []
    promql_parser.walk(promql_parser.parse(expression), lambda node: found.append(node) or True)
    yield from found


@pytest.fixture
def series(client: Any, services: Any) -> dict[str, set[str]]:
    """Every series of a working application -> its labels."""
    from prometheus_client.parser import text_string_to_metric_families

    client.post("/webhook", data=b"{", content_type="application/json")
    services.stores.projects.mark_dirty(7, "test")
    services.stores.versions.publish(7, "v0.1", expected=None, seq=0, by="test")
    services.stores.projects.note_sync(7, {"drift": 0})
    services.stores.failures.fail(7, "refit", "test")
    services.stores.counters.count_job("refit", "published", 1)
    record, _ = services.stores.jobs.request_training(7, by="test")
    services.stores.jobs.update(record["id"], {"status": "running", "started_at": 1})
    text = client.get("/metrics").text
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
        if not family.samples:
            found.setdefault(f"{family.name}_total" if family.type == "counter" else family.name, set())
    return found


def test_every_series_of_a_rule_exists_with_its_labels(series: dict[str, set[str]]) -> None:
    """One test for all rules: the application is started once."""
    for rule in RULES:
        for part in parts(rule["expr"]):
            if isinstance(part, promql_parser.VectorSelector):
                assert part.name in series, f"{rule['alert']}: there is no {part.name}"
                labels = {matcher.name for matcher in part.matchers.matchers} - ADDED
                if series[part.name]:
                    assert labels <= series[part.name], f"{rule['alert']}: {part.name} has no {labels}"
            elif isinstance(part, promql_parser.AggregateExpr) and part.modifier:
                inner = [p for p in parts(part.expr.prettify()) if isinstance(p, promql_parser.VectorSelector)]
                known = set.union(*(series[selector.name] for selector in inner))
                assert not known or set(part.modifier.labels) - ADDED <= known, f"{rule['alert']}: {part.prettify()}"


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_a_rule_compares_and_says_how_bad_it_is(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    top = promql_parser.parse(rule["expr"])
    assert isinstance(top, promql_parser.BinaryExpr) or top.func.name == "absent", "a bare series would always fire"
    for variable in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
        assert variable in rule["expr"], f"the summary names {variable}, which the expression drops"


def test_every_rule_has_a_section_that_says_what_to_do_and_no_section_is_left_over() -> None:
    text = (DOCS / "operations.md").read_text(encoding="utf-8")
    assert re.findall(r"^### (Understudy\w+)$\n\S", text, re.MULTILINE) == NAMES
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"


def test_the_parser_used_here_refuses_what_prometheus_refuses() -> None:
    for wrong in ("sum(", "rate(a)", "a{b=c}", "1 +", "max by project (a)"):
        with pytest.raises(ValueError):
            list(parts(wrong))


def test_every_metric_is_documented_and_every_one_that_is_documented_exists(series: dict[str, set[str]]) -> None:
    page = (DOCS / "http.md").read_text(encoding="utf-8")
    documented = {name: set(filter(None, labels.split(","))) for name, labels in DOCUMENTED.findall(page)}
    ours = {
        re.sub(r"_(bucket|sum|count)$", "", name): labels - {"le"}
        for name, labels in series.items()
        if name.startswith("understudy_") and not name.endswith("_created")
    }
    assert set(ours) - set(documented) == set(), "not documented"
    assert set(documented) - set(ours) == set(), "documented, and gone"
    for name, labels in ours.items():
        assert not labels or labels == documented[name], f"{name} has the labels {sorted(labels)}"


DOCUMENTED = re.compile(r"`(understudy_\w+)(?:\{([\w,]+)\})?`")
"""A series in the page's tables, with its labels."""
