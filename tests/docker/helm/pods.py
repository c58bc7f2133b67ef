"""Reads rendered manifests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Manifest = dict[str, Any]

OWN = ("web", "learner", "trainer", "sync", "scheduler", "predictor", "doctor")
"""Processes of understudy, and the pod of `helm test`."""


def of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    """Name -> manifest."""
    return {it["metadata"]["name"]: it for it in manifests if it["kind"] == kind}


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Component -> metadata and spec of its pod."""
    found: dict[str, Manifest] = {}
    for manifest in manifests:
        if manifest["kind"] in ("Deployment", "StatefulSet"):
            template = manifest["spec"]["template"]
        elif manifest["kind"] == "ScaledJob":
            template = manifest["spec"]["jobTargetRef"]["template"]
        elif manifest["kind"] == "Pod":
            template = manifest
        else:
            continue
        component = template["metadata"]["labels"]["app.kubernetes.io/component"]
        assert component not in found
        found[component] = template
    return found


def container_of(pod: Manifest) -> Manifest:
    """There is one."""
    (only,) = pod["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def environment_of(manifests: list[Manifest], pod: Manifest, secrets: Mapping[str, str]) -> dict[str, str]:
    """As Kubernetes makes it: what `envFrom` brings, then `env`."""
    maps = of_kind(manifests, "ConfigMap")
    found: dict[str, str] = {}
    for source in container_of(pod).get("envFrom", []):
        if "configMapRef" in source:
            found |= maps[source["configMapRef"]["name"]]["data"]
        else:
            found |= {name: value for name, value in secrets.items() if name.startswith("AWS_")}
    for one in container_of(pod).get("env", []):
        found[one["name"]] = one["value"] if "value" in one else secrets[one["valueFrom"]["secretKeyRef"]["key"]]
    return found


def commands_of(pod: Manifest) -> Iterator[list[str]]:
    """Every command line of understudy in a pod: what it runs, and its probes."""
    container = container_of(pod)
    if container.get("command") == ["sh", "-c"]:
        yield container["args"][0].partition(";")[0].split()
    else:
        assert "command" not in container  # the image's entry point
        yield ["understudy", *container["args"]]
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        if command := container.get(name, {}).get("exec", {}).get("command"):
            yield command


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """`matchLabels` only; this chart needs no more."""
    assert set(selector) <= {"matchLabels"}
    return selector.get("matchLabels", {}).items() <= labels.items()
