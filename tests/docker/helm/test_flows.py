"""Network policies allow the flows that are needed, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.docker.helm.cases import CASES
from tests.docker.helm.conftest import Manifest
from tests.docker.helm.pods import OWN, of_kind, pods, selects

NEIGHBOURS = {
    "label-studio": ("labelling", {"app.kubernetes.io/name": "ls-app"}),
    "dns": ("kube-system", {"k8s-app": "kube-dns"}),
    "ingress": ("ingress-nginx", {}),
    "prometheus": ("monitoring", {}),
    "keda": ("keda", {}),
    "stranger": ("labelling", {"app": "x"}),
    "other-stranger": ("default", {"app.kubernetes.io/name": "understudy"}),
    "internet": ("", {}),
}
"""Name -> namespace and labels of a pod; the internet has no namespace."""

PORTS = (53, 443, 6379, 6380, 8085, 9090, 26379)

Flow = tuple[str, str, int]


def places(manifests: list[Manifest]) -> dict[str, tuple[str, dict[str, str]]]:
    own = {name: ("labelling", pod["metadata"]["labels"]) for name, pod in pods(manifests).items()}
    return {**own, **NEIGHBOURS}


def is_peer(peer: dict[str, Any], place: tuple[str, dict[str, str]]) -> bool:
    namespace, labels = place
    if "ipBlock" in peer:
        return namespace == ""
    if namespace == "":
        return False
    if "namespaceSelector" in peer:
        inside = selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": namespace})
    else:
        inside = namespace == "labelling"
    return inside and selects(peer.get("podSelector", {}), labels)


def lets(rules: list[dict[str, Any]], side: str, place: tuple[str, dict[str, str]], port: int) -> bool:
    """Whether one of the rules of a policy allows it; without peers a rule means anywhere."""
    return any(
        port in [it["port"] for it in rule["ports"]]
        and (side not in rule or any(is_peer(p, place) for p in rule[side]))
        for rule in rules
    )


def allowed(manifests: list[Manifest]) -> Iterator[Flow]:
    """Every flow to or from a pod of ours that the policies of both ends let through."""
    policies = [it["spec"] for it in of_kind(manifests, "NetworkPolicy").values()]
    known = places(manifests)
    for source, here in known.items():
        for target, there in known.items():
            if source == target or (source in NEIGHBOURS and target in NEIGHBOURS):
                continue
            for port in PORTS:
                out = [it for it in policies if source not in NEIGHBOURS and selects(it["podSelector"], here[1])]
                into = [it for it in policies if target not in NEIGHBOURS and selects(it["podSelector"], there[1])]
                if all(lets(it["egress"], "to", there, port) for it in out) and all(
                    lets(it["ingress"], "from", here, port) for it in into
                ):
                    yield source, target, port


def needed(case: str, manifests: list[Manifest]) -> Iterator[Flow]:
    """As docs/kubernetes.md has them."""
    values: dict[str, Any] = CASES[case]
    own = [name for name in OWN if name in pods(manifests)]
    yield from ((name, "dns", 53) for name in own)
    yield from (("label-studio", "web", 9090), ("sync", "web", 9090), ("doctor", "web", 9090))
    if values.get("labelStudio", {"url": "the default"})["url"]:
        yield from ((name, "label-studio", 8085) for name in ("web", "sync", "doctor"))
    if "redis" in pods(manifests):
        yield from ((name, "redis", 6379) for name in own)
        scalers = [values.get(name, {}).get("keda", {}) for name in ("trainer", "predictor")]
        if any(keda.get("enabled") and keda.get("trigger", "redis") == "redis" for keda in scalers):
            yield "keda", "redis", 6379
    if values.get("ingress", {}).get("enabled"):
        yield "ingress", "web", 9090
    if values.get("serviceMonitor", {}).get("enabled"):
        yield "prometheus", "web", 9090


def anywhere(case: str, manifests: list[Manifest]) -> Iterator[tuple[str, int]]:
    """Who may call out, to whom it may concern, on which port."""
    values: dict[str, Any] = CASES[case]
    own = [name for name in OWN if name in pods(manifests)]
    if "redis" not in pods(manifests):
        given = values.get("networkPolicy", {}).get("externalRedis", {"ports": [6379, 26379]})
        yield from ((name, port) for name in own for port in given["ports"])
    if "artifacts" in values:
        yield from ((name, 443) for name in own)
    if "NOTIFY_URL" in values.get("secret", {}).get("keys", ()):
        yield from ((name, 443) for name in ("web", "scheduler", "doctor"))
    if "TEACHER_URL" in values.get("settings", {}):
        yield from ((name, 443) for name in ("sync", "doctor"))
    if values.get("networkPolicy", {}).get("modelHub"):
        yield from ((name, 443) for name in ("web", "learner", "trainer", "predictor"))


@pytest.mark.parametrize("case", [name for name in CASES if name != "small"])
def test_exactly_the_flows_that_are_needed_are_allowed(case: str, manifests: list[Manifest]) -> None:
    wanted = set(needed(case, manifests))
    outward = set(anywhere(case, manifests))
    is_bounded = "peers" in CASES[case].get("networkPolicy", {}).get("externalRedis", {})
    found = set(allowed(manifests))
    beyond = {flow for flow in found - wanted if (flow[0], flow[2]) not in outward or flow[1] in ("web", "redis")}
    assert beyond == set()
    assert wanted <= found
    reached = {(source, port) for source, target, port in found if target == "internet"}
    assert reached == outward
    if is_bounded:
        assert {target for source, target, port in found if port == 6380} == {"internet"}


def test_without_policies_there_are_none(rendered: Any) -> None:
    assert not of_kind(rendered.cases["small"], "NetworkPolicy")
