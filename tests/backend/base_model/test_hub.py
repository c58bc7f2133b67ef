"""Downloads of BASE_MODEL go by the same proxies and certificates as every other call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.base_model.hub import _open_client, find_encoder_files
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
