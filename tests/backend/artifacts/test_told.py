"""What the doctor, /ready, the metrics and the page say of an object store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backend.doctor.object_store import check_object_store
from backend.settings.settings import Settings
from tests.support.object_stores import CREDENTIALS, S3Server, directory_url, write_plain_version


def states(settings: Settings, live: dict[int, str | None]) -> dict[str, str]:
    return {verdict.check: verdict.state for verdict in check_object_store(settings, live)}


def test_nothing_is_said_where_there_is_none(tmp_path: Path) -> None:
    assert states(Settings(data_dir=tmp_path), {7: "v1"}) == {}


def test_a_store_that_works_and_a_version_that_it_lacks(
    tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.artifacts.artifacts import Artifacts

    settings = Settings(data_dir=tmp_path / "data", artifacts_url=store_url)
    artifacts = Artifacts(settings, frozenset)
    write_plain_version(settings.models_dir, 7, "v0.1", {"heads.json": b"{}"})
    artifacts.push(7, "v0.1")
    monkeypatch.setattr("backend.doctor.object_store.SLOW_SECONDS", 120.0)  # this machine may be busy
    assert set(states(settings, {7: "v0.1", 8: None}).values()) == {"ok"}
    assert artifacts.store.names("probe") == []
    (_, lacks) = check_object_store(settings, {7: "v0.2"})
    assert lacks.state == "fail" and "7 v0.2" in lacks.evidence


def test_a_store_that_is_away_or_has_no_such_bucket_is_told_without_secrets(tmp_path: Path, s3: S3Server) -> None:
    (gone,) = check_object_store(Settings(data_dir=tmp_path, artifacts_url="s3://no-such-bucket/x"), {7: "v1"})
    s3.door.is_open = False
    (away,) = check_object_store(Settings(data_dir=tmp_path, artifacts_url=s3.url), {7: "v1"})
    for verdict in (gone, away):
        assert verdict.state == "fail" and "AWS_ENDPOINT_URL" in verdict.remedy
        assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in verdict.evidence


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:secret@bucket/prefix",
        "s3://bucket/prefix?secret=1",
        "http://bucket/prefix",
        "file://relative/path",
        "s3:///bucket",
        "file:///a/../b",
        "bucket",
    ],
)
def test_an_address_with_credentials_or_of_another_kind_is_refused(tmp_path: Path, url: str) -> None:
    from backend.errors import SettingsError

    with pytest.raises(SettingsError, match="ARTIFACTS_URL") as caught:
        Settings(data_dir=tmp_path, artifacts_url=url)
    assert "secret@" not in str(caught.value)


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """Of a web process with a store in a directory."""
    (tmp_path / "store").mkdir()
    return settings.model_copy(update={"artifacts_url": directory_url(tmp_path / "store")})


def test_ready_the_metrics_and_the_page_say_how_the_store_is(client: Any, services: Any) -> None:
    from backend.ui.views.operations import view_operations

    assert client.get("/ready").json["object_store"]["state"] == "answers"
    assert "understudy_artifacts_up 1.0" in client.get("/metrics").text
    services.registry.artifacts.store.watch.failed("connection refused to a.host.of.ours")
    told = client.get("/ready").json["object_store"]
    assert told["state"] == "away" and "host" not in str(told)
    assert "understudy_artifacts_up 0.0" in client.get("/metrics").text
    view = view_operations(services)
    assert view.object_store is not None and view.object_store["state"] == "away"
