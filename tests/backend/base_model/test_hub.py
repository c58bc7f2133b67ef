"""Downloads of BASE_MODEL go by the same proxies and certificates as every other call."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.base_model.download import describe_download, showing_downloads, telling_of_downloads
from backend.base_model.hub import _explain, _open_client, find_encoder_files
from backend.doctor.machine import check_base_model
from backend.settings.settings import Settings
from model.errors import EncoderError
from tests.backend.outbound.test_clients import BUNDLES, PROXIES
from tests.support.certificate_authority import Authority, over_tls, recording_proxy


@pytest.fixture(autouse=True)
def own_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    for name in (*PROXIES, *BUNDLES, "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    yield
    set_client_factory(default_client_factory)


def test_a_download_goes_through_the_proxy_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with recording_proxy() as (proxy, seen):
        monkeypatch.setenv("https_proxy", proxy.replace("://", "://me:planted@"))
        with pytest.raises(EncoderError, match="not reached through the proxy http://127") as caught:
            find_encoder_files(Settings(_env_file=None, data_dir=tmp_path, base_model="somebody/model"))
    assert seen and all(call.startswith("CONNECT ") for call in seen)
    assert "planted" not in str(caught.value)


def test_a_proxy_that_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    settings = Settings(_env_file=None, data_dir=tmp_path, base_model="somebody/model")
    with pytest.raises(EncoderError, match=r"ALL_PROXY=socks5://127\.0\.0\.1:9 is no address of a proxy"):
        find_encoder_files(settings)
    assert check_base_model(settings).remedy.startswith("set ALL_PROXY to a proxy for HTTP")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert check_base_model(settings).remedy == "let this machine reach the hub, or set BASE_MODEL to a directory"


def test_a_hub_that_is_not_reached_is_told_as_that_and_not_as_a_wrong_name() -> None:
    import httpx2

    error = httpx2.ConnectError(
        "Name or service not known", request=httpx2.Request("GET", "https://hub.example/api?x=1")
    )
    why, hint = _explain(error)
    assert why == "https://hub.example/ is not reached (Name or service not known); without network give a directory"
    assert "let this machine reach the hub" in hint


def test_the_companys_authority_is_trusted_where_a_bundle_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx2

    company = Authority(tmp_path / "company")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # this machine is called directly all the same
    with over_tls(company.issue("hub")) as url:
        with _open_client() as client, pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            client.get(url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(company.file))
        with _open_client() as client:
            assert client.get(url).status_code == 200


def test_a_download_tells_how_much_has_come(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "hub" / "models--somebody--model" / "blobs"
    folder.mkdir(parents=True)
    with caplog.at_level("INFO"), telling_of_downloads("somebody/model", 0.01):
        for count in range(1, 2000):
            (folder / "weights.incomplete").write_bytes(bytes(count << 20 if count < 4 else 4 << 20))
            if "have come" in caplog.text:
                break
            threading.Event().wait(0.01)
    assert "downloading somebody/model: " in caplog.text
    coming = Settings(_env_file=None, data_dir=tmp_path, base_model="somebody/model")
    assert describe_download(coming).startswith("downloading somebody/model: ")
    verdict = check_base_model(coming)
    assert verdict.state == "warn" and "MiB have come" in verdict.evidence, "nobody waits for the other process's lock"
    os.utime(folder / "weights.incomplete", (0, 0))
    assert describe_download(coming) == "", "an interrupted one"
    assert describe_download(coming.model_copy(update={"base_model": ""})) == ""


def test_the_terminal_of_whoever_downloads_shows_it(tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "models--somebody--model" / "blobs"
    folder.mkdir(parents=True)
    shown, more = list[str](), threading.Event()
    with showing_downloads(lambda line: (shown.append(line), more.set())), telling_of_downloads("somebody/model", 0.01):
        for count in range(1, 2000):
            (folder / "weights.incomplete").write_bytes(bytes(count))
            if more.wait(0.01):
                break
    assert shown[0].startswith("downloading somebody/model: ")


def test_a_preset_is_asked_for_by_its_hub_id_and_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None]] = []

    def fetch(name: str, revision: str | None = None, **_: object) -> str:
        asked.append((name, revision))
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    with pytest.raises(EncoderError, match="intfloat/multilingual-e5-small"):
        find_encoder_files(Settings(_env_file=None, data_dir=tmp_path, base_model="multilingual"))
    assert set(asked) == {("intfloat/multilingual-e5-small", "fd1525a9fd15316a2d503bf26ab031a61d056e98")}
