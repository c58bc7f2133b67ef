"""Renders the chart for every case with Helm's own library, and checks what comes out: Helm's lint, Kubernetes' OpenAPI
schemas, and the custom resources against their operators' models. `.helm/bin/python -m tests.docker.helm.render FOLDER`
writes a file of manifests a case and prints what it found; `make helm` calls it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import yaml
from cloudcoil.models.keda import v1alpha1 as keda
from cloudcoil.models.prometheus_operator import v1 as prometheus

from tests.docker.helm.cases import CASES, REFUSED

CHART = Path(__file__).parents[3] / "docker" / "helm" / "understudy"
VERSIONS = ("1.27", "1.37")
"""The oldest Kubernetes that the chart allows, and the newest whose schemas are at hand."""

NAME, NAMESPACE = "understudy", "labelling"


def render(values: dict[str, Any]) -> list[dict[str, Any]]:
    """All manifests. Raises HelmError for values that the schema or a template refuses."""
    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(chart.merge_values(values))
        files = chart.render(values, name=NAME, namespace=NAMESPACE)
    found = [text for name, text in files.items() if not name.endswith("NOTES.txt")]
    return [manifest for text in found for manifest in yaml.load_all(text, yaml.CSafeLoader) if manifest]


def faults(values: dict[str, Any], manifests: list[dict[str, Any]]) -> Iterator[str]:
    """What is wrong with a case, in words."""
    report = helm_python.lint(CHART, values, strict=True, namespace=NAMESPACE)
    yield from report["errors"]
    yield from (f"lint: {it['path']}: {it['error']}" for it in report["messages"] if it["severity"] > 1)
    for manifest in manifests:
        name = f"{manifest['kind']}/{manifest['metadata']['name']}"
        yield from (f"{name}: {fault}" for fault in manifest_faults(json.dumps(manifest)))


@cache
def manifest_faults(text: str) -> list[str]:
    """Of one manifest, by the schema of its kind. Most cases have most manifests in common."""
    manifest = json.loads(text)
    group = manifest["apiVersion"].partition("/")[0]
    models = {"keda.sh": keda, "monitoring.coreos.com": prometheus}.get(group)
    if models is None:
        return list(kubernetes_faults(manifest))
    found: list[str] = []
    if manifest["kind"] == "ScaledJob":
        # The model's own idea of a pod takes no quantity that looks like a number: the pod is judged as a Job's.
        spec = manifest["spec"]["jobTargetRef"]
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": deepcopy(spec)}
        found += kubernetes_faults(job)
        spec["template"] = {"spec": {"containers": [{"name": "x"}]}}
    return found + list(custom_faults(getattr(models, manifest["kind"]), manifest))


def kubernetes_faults(manifest: dict[str, Any]) -> Iterator[str]:
    """By Kubernetes' own schemas."""
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except Exception as error:
            yield f"Kubernetes {version}: {getattr(error, 'message', error)}"


def custom_faults(model: Any, manifest: dict[str, Any]) -> Iterator[str]:
    """The models take unknown fields and drop them: what they do not give back does not exist."""
    try:
        known = model.model_validate(manifest).model_dump(mode="json", by_alias=True, exclude_unset=True)
    except Exception as error:
        yield str(error)
        return
    yield from missing(manifest, known, "")


def missing(given: Any, known: Any, path: str) -> Iterator[str]:
    """Paths in `given` that are not in `known`."""
    if isinstance(given, dict):
        for key, value in given.items():
            if not isinstance(known, dict) or key not in known:
                yield f"no field {path}.{key}"
            else:
                yield from missing(value, known[key], f"{path}.{key}")
    elif isinstance(given, list):
        for number, value in enumerate(given):
            yield from missing(value, known[number], f"{path}[{number}]")


def refusal(values: dict[str, Any]) -> str:
    """What Helm says; "" when it takes the values."""
    try:
        render(values)
    except helm_python.HelmError as error:
        return str(error)
    return ""


BROKEN: dict[str, tuple[str, ...]] = {
    "Deployment": ("spec", "replcas"),
    "Service": ("spec", "ports", "0", "targetPrt"),
    "NetworkPolicy": ("spec", "egres"),
    "ScaledJob": ("spec", "maxReplicas"),
    "ScaledObject": ("spec", "cooldown"),
    "TriggerAuthentication": ("spec", "secretTargetRef", "0", "parameters"),
    "ServiceMonitor": ("spec", "endpoints", "0", "route"),
    "PrometheusRule": ("spec", "groups", "0", "rules", "0", "expression"),
}
"""Kind -> a field that it does not have."""


def unseen() -> Iterator[str]:
    """Kinds in which a field that does not exist goes unnoticed."""
    values = {"keda-tls", "keda-files", "everything"}
    at_hand = {it["kind"]: it for name in values for it in render(CASES[name])}
    for kind, path in BROKEN.items():
        place = manifest = deepcopy(at_hand[kind])
        for step in path[:-1]:
            place = place[int(step)] if step.isdigit() else place[step]
        place[path[-1]] = 1
        if not manifest_faults(json.dumps(manifest)):
            yield kind


def for_the_linter(manifest: dict[str, Any]) -> dict[str, Any]:
    """As something that a linter of policies knows: a ScaledJob is none, and a pod of `helm test` lives for seconds."""
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": manifest["metadata"]}
    if manifest["kind"] == "ScaledJob":
        return {**job, "spec": manifest["spec"]["jobTargetRef"]}
    if manifest["kind"] == "Pod":
        return {**job, "spec": {"template": {"metadata": manifest["metadata"], "spec": manifest["spec"]}}}
    return manifest


def write(path: Path, manifests: list[dict[str, Any]]) -> None:
    """As one file of YAML."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.dump_all(manifests, Dumper=yaml.CSafeDumper), encoding="utf-8")


def main(folder: Path) -> None:
    """Exit status 1 when anything is wrong."""
    # Read once, not for every manifest: half a megabyte each.
    kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)
    found: dict[str, list[str]] = {}
    for name, values in CASES.items():
        manifests = render(values)
        write(folder / f"{name}.yaml", manifests)
        found[name] = list(faults(values, manifests))
        write(folder / "linted" / f"{name}.yaml", [for_the_linter(it) for it in manifests])
    for name, (values, word) in REFUSED.items():
        said = refusal(values)
        found[f"refused: {name}"] = [] if word in said else [f"said {said!r}"]
    found["fields that do not exist, and are not seen"] = list(unseen())
    print(json.dumps(found, indent=1))
    raise SystemExit(any(found.values()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
