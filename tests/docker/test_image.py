"""What can be known of the image and the compose file without a container engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.cli.main import main
from backend.settings.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OWN = {name: service for name, service in SERVICES.items() if service["image"].startswith("understudy:")}


def directive(name: str) -> list[str]:
    """The arguments of every line of the Dockerfile that starts with `name`."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^{name}\s+(.+)$", joined, re.MULTILINE)


def test_the_dockerfile_is_lint_free() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("no hadolint for this platform")
    done = subprocess.run([hadolint, ROOT / "docker" / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_process_has_a_service_that_runs_it() -> None:
    assert {name: service["command"] for name, service in OWN.items()} == {
        name: [name] for name in ("web", "learner", "trainer", "sync", "scheduler")
    }
    assert set(OWN) <= set(main.commands)


def test_what_the_image_runs_by_itself_exists() -> None:
    assert directive("ENTRYPOINT") == ['["understudy"]']
    commands = [json.loads(arguments)[0] for arguments in directive("CMD")]
    health = re.search(r'CMD \["understudy", "(\w+)"\]', directive("HEALTHCHECK")[0])
    assert health is not None
    assert {*commands, health.group(1)} <= set(main.commands)


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_has_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] <= 1024
    assert name == "label-studio" or service["read_only"] is True
    assert "privileged" not in service and "cap_add" not in service and service["restart"] == "unless-stopped"
    assert re.fullmatch(r"\$\{\w+:-\d+g\}", service["mem_limit"])
    assert re.fullmatch(r"\d+s", service["stop_grace_period"])
    assert "/var/run/docker.sock" not in str(service.get("volumes"))
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "web"])
def test_a_service_that_hangs_is_noticed(name: str) -> None:
    """The web process's check is the image's own."""
    health = SERVICES[name]["healthcheck"]
    assert health["test"][0] == "CMD" and not health.get("disable")
    if name in OWN:
        assert health["test"] == ["CMD", "understudy", "healthcheck", name]


def test_writable_places_are_few_and_nothing_runs_as_root() -> None:
    for service in OWN.values():
        assert service["user"] == "10001:10001"
        assert service["tmpfs"] == ["/tmp:mode=1777,size=1g,nosuid,nodev"]
        assert {volume.partition(":")[2] for volume in service["volumes"]} == {"/data", "/run/secrets:ro"}
    assert SERVICES["redis"]["user"] == "999:999"


def test_secrets_come_by_file_and_none_is_in_the_compose_file() -> None:
    for service in OWN.values():
        for name in ("LABEL_STUDIO_API_KEY", "BASIC_AUTH_PASS", "WEBHOOK_SECRET", "ADMIN_TOKEN"):
            assert service["environment"][name] == f"${{{name}:-}}"
            assert service["environment"][f"{name}_FILE"] == f"${{{name}_FILE:-}}"


def test_the_image_runs_as_nobody_in_particular() -> None:
    assert directive("USER") == ["10001:10001"]


def test_every_image_is_pinned() -> None:
    tags = [service["image"].rpartition(":")[2] for name, service in SERVICES.items() if name not in OWN]
    tags += [value.partition("=")[2] for value in directive("ARG") if value.startswith("PYTHON=")]
    assert all(re.match(r"\d+\.\d+\.\d+", tag) for tag in tags), tags


def test_redis_keeps_every_label_and_can_be_reached_by_understudy_only() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    for setting in ("--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction"):
        assert setting in command
    assert COMPOSE["networks"]["redis"]["internal"] is True
    assert {name for name, service in SERVICES.items() if "redis" in service["networks"]} == {"redis", *OWN}


def test_label_studio_may_call_a_backend_in_a_private_network() -> None:
    environment = SERVICES["label-studio"]["environment"]
    assert environment["ML_BLOCK_LOCAL_IP"] == environment["SSRF_PROTECTION_ENABLED"] == "false"
    assert SERVICES["label-studio"]["image"].endswith(":1.23.2")


def test_the_environment_names_settings_that_exist() -> None:
    given = {name.removesuffix("_FILE").lower() for service in OWN.values() for name in service["environment"]}
    assert given <= set(Settings.model_fields)
    assert not any("SECRET" in value for value in directive("ENV"))


def test_models_and_secrets_are_shared_by_the_processes() -> None:
    for service in OWN.values():
        assert "understudy:/data" in service["volumes"]
        assert "./secrets:/run/secrets:ro" in service["volumes"]


def test_the_sources_copied_into_the_image_are_a_working_installation(tmp_path: Path) -> None:
    source, target = tmp_path / "src", tmp_path / "installed"
    source.mkdir()
    for arguments in directive("COPY"):
        *names, _ = arguments.split()
        for path in (ROOT / name for name in names if not name.startswith(("--from", "/"))):
            copy = shutil.copytree if path.is_dir() else shutil.copy2
            copy(path, source / path.name)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", target, source], check=True, capture_output=True)

    missing = [
        path.relative_to(ROOT)
        for package in ("backend", "model")
        for path in (ROOT / package).rglob("*")
        if path.suffix in (".py", ".lua", ".html") and not (target / path.relative_to(ROOT)).exists()
    ]
    assert missing == []
    environment = {**os.environ, "PYTHONPATH": str(target), "DATA_DIR": str(tmp_path / "data")}
    for command in (["--help"], *([*service["command"], "--help"] for service in OWN.values())):
        done = subprocess.run(
            [target / "bin" / "understudy", *command], cwd=tmp_path, env=environment, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
