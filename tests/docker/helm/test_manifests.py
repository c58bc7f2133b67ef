"""What the chart says of the product, the product has: settings, commands, routes, ports, paths, images, alerts."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import certifi
import pytest
import yaml

from backend.cli.main import main
from backend.redis_access.address import check_address
from backend.redis_access.job_kinds import JOB_KINDS
from backend.settings.settings import Settings, load_settings
from backend.settings.sources import FROM_FILES
from backend.web.policy import POLICIES, Caller
from tests.docker.helm.cases import ALL_KEYS, CASES
from tests.docker.helm.conftest import PYTHON, ROOT, Manifest, Rendered
from tests.docker.helm.pods import OWN, commands_of, container_of, environment_of, of_kind, pods, selects
from tests.docker.test_image import SERVICES
from tests.support.rolling import GRACE_SECONDS, LAG_SECONDS

EXPLAINED = {
    "CKV_K8S_9": "a readiness probe: only the web process serves",
    "CKV_K8S_15": "images are pinned by tag, and pulled when they are not there",
    "CKV_K8S_21": "the namespace is the release's",
    "CKV_K8S_35": "BASIC_AUTH_USER, a name, is read from the environment; secrets are files",
    "CKV_K8S_40": "the official image of Redis runs as 999",
    "CKV_K8S_43": "the digest of an image is the user's to choose",
}
"""Policies of the linter that the chart does not follow, and why."""

SECRETS = {key: "x" for key in ALL_KEYS} | {
    "REDIS_URL": "rediss://user:secret@redis.x.org:6380/0",
    "NOTIFY_URL": "https://hooks.x.org/x",
    "NOTIFY_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}

in_all_cases = pytest.mark.parametrize("case", CASES)


def test_helm_kubernetes_and_the_operators_take_every_case(rendered: Rendered) -> None:
    assert {what: faults for what, faults in rendered.report.items() if faults} == {}
    assert set(rendered.cases) == set(CASES)


def test_a_linter_of_policies_finds_nothing_that_is_not_explained(rendered: Rendered, tmp_path: Path) -> None:
    command = [PYTHON, "-m", "checkov.main", "-d", rendered.linted, "--framework", "kubernetes", "--compact", "--quiet"]
    command += ["--skip-download", "--skip-check", ",".join(EXPLAINED)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


@in_all_cases
def test_every_variable_is_a_setting_that_takes_its_value(
    manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for component, pod in pods(manifests).items():
        if component not in OWN:
            continue
        given = environment_of(manifests, pod, SECRETS)
        for name, value in given.items():
            if name.endswith("_FILE") and name.removesuffix("_FILE").lower() in FROM_FILES:
                path = tmp_path / Path(value).name
                path.write_text(SECRETS[path.name], encoding="utf-8")
                given[name] = str(path)
        if "REDIS_CA_FILE" in given:
            given["REDIS_CA_FILE"] = certifi.where()
        known = {name.upper() for name in Settings.model_fields} | {f"{name}_FILE".upper() for name in FROM_FILES}
        unknown = set(given) - known - {"HF_HOME"}
        assert all(re.match("AWS_|AZURE_|GOOGLE_", name) for name in unknown), unknown
        with monkeypatch.context() as patch:
            for name in [name for name in os.environ if name in known]:
                patch.delenv(name)
            for name, value in given.items():
                patch.setenv(name, value)
            settings = load_settings()
            check_address(settings)
            assert settings.data_dir == Path("/data")
            assert settings.redis_url, "nothing starts a Redis of its own in a pod"


@in_all_cases
def test_every_command_exists(manifests: list[Manifest]) -> None:
    for component, pod in pods(manifests).items():
        if component not in OWN:
            continue
        lines = list(commands_of(pod))
        assert lines[0][1] == component
        for program, name, *arguments in lines:
            command = main.commands[name]
            command.make_context(name, list(arguments))
            assert program == "understudy"
            assert name != "healthcheck" or arguments == [component]


def test_a_command_that_does_not_exist_would_be_seen() -> None:
    with pytest.raises(Exception, match="No such option"):
        main.commands["web"].make_context("web", ["--burts"])


@in_all_cases
def test_probes_ask_routes_that_need_no_credentials(manifests: list[Manifest]) -> None:
    web = container_of(pods(manifests)["web"])
    asked = {name: web[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {name: probe["path"] for name, probe in asked.items()} == {
        "startupProbe": "/health",
        "livenessProbe": "/health",
        "readinessProbe": "/ready",
    }
    for probe in asked.values():
        assert POLICIES[f"GET {probe['path']}"].caller in (Caller.ANYONE, Caller.PROBE)
        assert probe["port"] == web["ports"][0]["name"]


@in_all_cases
def test_ports_agree(manifests: list[Manifest]) -> None:
    found = pods(manifests)
    environment = environment_of(manifests, found["web"], SECRETS)
    (port,) = container_of(found["web"])["ports"]
    assert str(port["containerPort"]) == environment["PORT"] == "9090"
    (name,) = [it for it in of_kind(manifests, "Service") if it.endswith("-web")]
    (service,) = of_kind(manifests, "Service")[name]["spec"]["ports"]
    assert service["targetPort"] == port["name"]
    assert environment["PUBLIC_URL"] in (
        f"http://{name}.labelling.svc:{service['port']}",
        "https://understudy.example.com/ml",
    )
    for component in OWN[1:]:
        other = (
            environment_of(manifests, found[component], SECRETS)
            if component in found
            else {"HOST": name, "PORT": "9090"}
        )
        assert (other["HOST"], other["PORT"]) == (name, str(service["port"]))
    for ingress in of_kind(manifests, "Ingress").values():
        (rule,) = ingress["spec"]["rules"]
        (path,) = rule["http"]["paths"]
        assert path["backend"]["service"] == {"name": name, "port": {"name": service["name"]}}
        assert environment["PUBLIC_URL"].endswith(path["path"])
    for monitor in of_kind(manifests, "ServiceMonitor").values():
        (endpoint,) = monitor["spec"]["endpoints"]
        assert (endpoint["port"], f"GET {endpoint['path']}" in POLICIES) == (service["name"], True)
        assert selects(monitor["spec"]["selector"], of_kind(manifests, "Service")[name]["metadata"]["labels"])


@in_all_cases
def test_no_secret_stands_in_a_manifest(manifests: list[Manifest]) -> None:
    assert not of_kind(manifests, "Secret")
    secret = {name.upper() for name in FROM_FILES} | {"REDIS_PASSWORD"}
    for pod in pods(manifests).values():
        for one in container_of(pod).get("env", []):
            assert one["name"] not in secret, one
    for config in of_kind(manifests, "ConfigMap").values():
        assert not (secret - {"REDIS_URL"}) & set(config["data"])
        assert "@" not in config["data"].get("REDIS_URL", "")
    text = yaml.safe_dump_all(manifests)
    assert not re.search(r"://[^/\s]+:[^/\s]+@", text)


@in_all_cases
def test_a_process_writes_only_where_a_volume_is(manifests: list[Manifest]) -> None:
    folders = Settings(data_dir=Path("/data"), redis_url="redis://x")
    written = [getattr(folders, name) for name in dir(type(folders)) if name.endswith("_dir")] + [Path("/tmp/x")]
    caches = {folders.features_dir, folders.words_dir, folders.data_dir / "deadlines"}
    assert len(written) > 6
    for component, pod in pods(manifests).items():
        container = container_of(pod)
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        if component not in OWN:
            continue
        mounts = {Path(it["mountPath"]): it for it in container["volumeMounts"]}
        volumes = {it["name"]: it for it in pod["spec"]["volumes"]}
        assert {it["name"] for it in mounts.values()} == set(volumes)
        for path in [*written, *caches, Path(environment_of(manifests, pod, SECRETS)["HF_HOME"])]:
            mount = next(mounts[place] for place in [path, *path.parents] if place in mounts)
            assert not mount.get("readOnly"), path
            if path in caches:
                assert "emptyDir" in volumes[mount["name"]], f"{path} is this machine's own"


@in_all_cases
def test_everything_is_selected_by_one_and_named_once(manifests: list[Manifest]) -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(manifests).items()}
    kinds = [(it["kind"], it["metadata"]["name"]) for it in manifests]
    assert len(set(kinds)) == len(kinds)
    # Of a StatefulSet a label of its pods is made, with a hash behind it.
    assert all(len(name) <= (63 - 11 if kind == "StatefulSet" else 63) for kind, name in kinds)
    for manifest in manifests:
        spec = manifest.get("spec", {})
        selector = spec.get("podSelector", spec.get("selector"))
        if manifest["kind"] in ("ScaledJob", "ServiceMonitor") or selector is None:
            continue
        if manifest["kind"] == "Service":
            selector = {"matchLabels": selector}
        own = manifest["metadata"]["labels"]["app.kubernetes.io/component"]
        assert [name for name, of in labels.items() if selects(selector, of)] == [own], manifest["metadata"]


@in_all_cases
def test_a_process_has_the_time_that_it_needs_to_stop(manifests: list[Manifest]) -> None:
    from backend.processes.web import _options

    found = pods(manifests)
    web = found["web"]["spec"]
    drain = int(container_of(found["web"])["lifecycle"]["preStop"]["exec"]["command"][1])
    graceful = _options(Settings(redis_url="redis://x"), 3)["graceful_timeout"]
    assert isinstance(graceful, int)
    assert web["terminationGracePeriodSeconds"] >= drain + graceful + 10
    assert drain >= 2 * LAG_SECONDS and web["terminationGracePeriodSeconds"] == drain + GRACE_SECONDS
    for name in ("learner", "trainer", "sync", "scheduler"):
        if name in found:
            composed = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
            assert found[name]["spec"]["terminationGracePeriodSeconds"] >= composed


@in_all_cases
def test_an_update_never_leaves_fewer_web_processes_than_there_were(manifests: list[Manifest]) -> None:
    """As tests/support/rolling.py replaces them."""
    (web,) = [one for one in manifests if one["kind"] == "Deployment" and one["metadata"]["name"].endswith("-web")]
    assert web["spec"]["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    assert container_of(pods(manifests)["web"])["readinessProbe"]["httpGet"]["path"] == "/ready"
    fewest = [one["spec"]["minReplicas"] for one in manifests if one["kind"] == "HorizontalPodAutoscaler"]
    for budget in (one for one in manifests if one["kind"] == "PodDisruptionBudget"):
        assert budget["spec"]["maxUnavailable"] < min([*fewest, web["spec"].get("replicas", 2)])


@in_all_cases
def test_images_are_those_of_this_release(manifests: list[Manifest], case: str) -> None:
    release = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    for component, pod in pods(manifests).items():
        wanted = SERVICES["redis"]["image"] if component == "redis" else f"understudy:{release}"
        if component == "trainer" and "image" in CASES[case].get("trainer", {}):
            wanted += "-cuda"
        assert container_of(pod)["image"] == wanted


@in_all_cases
def test_redis_loses_no_label(manifests: list[Manifest]) -> None:
    for name, manifest in of_kind(manifests, "StatefulSet").items():
        lines = of_kind(manifests, "ConfigMap")[name]["data"]["redis.conf"].splitlines()
        assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction", "dir /data"} <= set(lines)
        (claim,) = manifest["spec"]["volumeClaimTemplates"]
        assert {it["name"]: it["mountPath"] for it in container_of(pods(manifests)["redis"])["volumeMounts"]}[
            claim["metadata"]["name"]
        ] == "/data"


@in_all_cases
def test_alerts_are_those_of_the_docs(manifests: list[Manifest], case: str) -> None:
    wanted = yaml.safe_load((ROOT / "docs" / "alerts.yml").read_text("utf-8"))["groups"]
    for rule in of_kind(manifests, "PrometheusRule").values():
        assert rule["spec"]["groups"] == wanted
    assert bool(of_kind(manifests, "PrometheusRule")) is ("prometheusRule" in CASES[case])


@in_all_cases
def test_a_scaler_watches_the_queue_of_trainings(manifests: list[Manifest]) -> None:
    (queue,) = {kind.queue for kind in JOB_KINDS if kind.name == "train"}
    for job in of_kind(manifests, "ScaledJob").values():
        strategy = job["spec"]["scalingStrategy"]["strategy"]
        assert strategy == ("default" if asks(manifests, job, queue) == "prometheus" else "accurate")
        limit = Settings(redis_url="redis://x").finetune_timeout_minutes * 60
        assert job["spec"]["jobTargetRef"]["activeDeadlineSeconds"] > limit
        assert job["spec"]["jobTargetRef"]["template"]["spec"]["restartPolicy"] == "Never"


@in_all_cases
def test_a_scaler_watches_the_queue_of_files(manifests: list[Manifest]) -> None:
    (queue,) = {kind.queue for kind in JOB_KINDS if kind.name == "files"}
    for scaler in of_kind(manifests, "ScaledObject").values():
        asks(manifests, scaler, queue)
        target = of_kind(manifests, "Deployment")[scaler["spec"]["scaleTargetRef"]["name"]]
        assert "replicas" not in target["spec"], "an upgrade would set it back"
        assert container_of(target["spec"]["template"])["args"] == ["predictor"]
        assert scaler["spec"]["minReplicaCount"] == 0


def asks(manifests: list[Manifest], scaler: Manifest, queue: str) -> str:
    """The type of its trigger, which asks for this queue at an address that the pods use, too."""
    (trigger,) = scaler["spec"]["triggers"]
    given = trigger["metadata"]
    login = trigger.get("authenticationRef", {}).get("name")
    assert login is None or login in of_kind(manifests, "TriggerAuthentication")
    if trigger["type"] == "prometheus":
        names = set(re.findall(r"(understudy_\w+)\{", given["query"]))
        assert names == {"understudy_jobs_waiting", "understudy_jobs_running"} and f'"{queue}"' in given["query"]
        return "prometheus"
    assert given["listName"] == f"rq:queue:{queue}"
    environment = environment_of(manifests, pods(manifests)["web"], SECRETS)
    for address in given.get("addresses", given.get("address", "")).split(","):
        host = address.partition(":")[0].partition(".")[0]
        assert host in environment.get("REDIS_URL", "redis.x.org")
    return str(trigger["type"])


def test_paused_workers_are_none(rendered: Rendered) -> None:
    paused = rendered.cases["paused"]
    replicas: dict[str, Any] = {
        it["metadata"]["labels"]["app.kubernetes.io/component"]: it["spec"].get("replicas")
        for it in of_kind(paused, "Deployment").values()
    }
    assert replicas == {"web": None, "learner": 0, "sync": 0, "scheduler": 0, "predictor": None}
    (job,) = of_kind(paused, "ScaledJob").values()
    assert job["metadata"]["annotations"] == {"autoscaling.keda.sh/paused": "true"}
    (scaler,) = of_kind(paused, "ScaledObject").values()
    assert scaler["metadata"]["annotations"] == {"autoscaling.keda.sh/paused-replicas": "0"}


SET = re.compile(r"--set(?:-string)? '?([A-Za-z]+(?:\.[A-Za-z]+)*)")


@pytest.mark.parametrize("page", ["docs/kubernetes.md", "docker/helm/understudy/README.md"])
def test_values_that_the_docs_set_exist(page: str) -> None:
    values = yaml.safe_load((ROOT / "docker" / "helm" / "understudy" / "values.yaml").read_text("utf-8"))
    text = (ROOT / page).read_text("utf-8")
    named = [path for path in SET.findall(text) if not path.startswith("global.")]  # those are Label Studio's
    assert named
    for path in named:
        place: Any = values
        for step in path.split("."):
            assert place == {} or step in place, path
            place = place.get(step, {})


def test_the_chart_tells_of_every_value() -> None:
    chart = ROOT / "docker" / "helm" / "understudy"
    values = yaml.safe_load((chart / "values.yaml").read_text("utf-8"))
    text = (chart / "README.md").read_text("utf-8")
    assert [name for name in values if f"`{name}`" not in text and f"`{name}." not in text] == []


def test_the_chart_is_of_this_release() -> None:
    release = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    chart = yaml.safe_load((ROOT / "docker" / "helm" / "understudy" / "Chart.yaml").read_text("utf-8"))
    assert chart["appVersion"] == release
