"""Every client against real servers: a proxy that writes down what it is asked, and certificates of a company."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backend.client.admin import AdminClient, AdminError, local_url
from backend.client.predict import PredictClient, PredictError
from backend.doctor.label_studio import read_token, refused
from backend.doctor.liveness import find_silence
from backend.doctor.web import ask, judge_answers
from backend.errors import BackendError, LabelStudioError, SettingsError
from backend.labelstudio.rest.client import LabelStudioClient
from backend.outbound import clients
from backend.processes.console import current_state
from backend.settings.settings import Settings
from tests.conftest import serving
from tests.support.certificate_authority import Authority, Handler, Quiet, over_tls, recording_proxy

PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def no_other_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, *BUNDLES, "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "company")


def settings_for(tmp_path: Path, **given: Any) -> Settings:
    facts = {"data_dir": tmp_path, "admin_token": "planted-token", "redis_url": "redis://nowhere", **given}
    return Settings(_env_file=None, **facts)


def studio_of(url: str, ca_file: str = "") -> Callable[[], Any]:
    return LabelStudioClient(url, "a" * 40, ca_file=ca_file, attempts=1).whoami


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_this_machines_own_process_is_asked_directly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    with recording_proxy() as (proxy, seen), serving(Quiet(("127.0.0.1", 0), Handler)) as server:
        for name in PROXIES:
            monkeypatch.setenv(name, proxy)
        monkeypatch.setenv("no_proxy", "")
        settings = settings_for(tmp_path, host=host, port=server.server_port)
        assert AdminClient(settings).projects() == []
        assert AdminClient(settings, local_url(settings)).projects() == []
        assert current_state(settings) == ""
        assert find_silence(settings, "web") == ""
        assert ask(settings, f"{local_url(settings)}/health")[0] == 200
        with pytest.raises(PredictError, match="does not answer as understudy does"), PredictClient(settings) as client:
            client.predict(1, [{"id": 1}])
        assert studio_of(local_url(settings))()["status"] == "UP"
        assert seen == []


def test_the_web_process_on_an_address_of_its_own_is_local_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", NOBODY)
    settings = settings_for(tmp_path, host="192.168.1.5", port=9090)
    assert clients.route_of(settings, local_url(settings)) is None
    assert clients.route_of(settings, "http://192.168.1.5:8080") is not None


def test_a_label_studio_elsewhere_goes_through_the_proxy_unless_excepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording_proxy() as (proxy, seen):
        monkeypatch.setenv("http_proxy", proxy.replace("://", "://me:planted@"))
        with pytest.raises(
            LabelStudioError, match=r"\(502\) through the proxy http://127.*add studio.invalid"
        ) as caught:
            studio_of("http://studio.invalid")()
        assert "GET http://studio.invalid/api/current-user/whoami" in seen[0]
        assert "planted" not in caught.value.message
        monkeypatch.setenv("no_proxy", "invalid")
        with pytest.raises(LabelStudioError, match="does not answer: "):
            studio_of("http://studio.invalid")()
        assert len(seen) == 1


@pytest.mark.parametrize("value", ["http://me:planted@127.0.0.1:9", "https://me:planted@127.0.0.1:9"])
def test_a_dead_proxy_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("http_proxy", value)
    monkeypatch.setenv("https_proxy", value)
    settings = settings_for(tmp_path)
    shown = value.replace("me:planted@", "")
    for scheme in ("http", "https"):
        url = f"{scheme}://elsewhere.invalid"
        calls: list[Callable[[], Any]] = [studio_of(url), AdminClient(settings, url).projects]
        for call in calls:
            with pytest.raises(BackendError) as caught:
                call()
            assert f"through the proxy {shown} ({scheme}_proxy)" in caught.value.message
            assert "planted" not in caught.value.message
        assert shown in str(ask(settings, url)[1])


def test_a_malformed_proxy_is_one_readable_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "socks5://me:planted@proxy:1")
    for call in (studio_of("http://studio"), AdminClient(settings_for(tmp_path), "http://studio").projects):
        with pytest.raises(BackendError, match=r"http_proxy=socks5://proxy:1 is no address") as caught:
            call()
        assert "planted" not in caught.value.message


@pytest.mark.parametrize("value", ["socks5://proxy:1", "socks5h://proxy:1", "http://proxy:port", "ftp://proxy"])
def test_the_remedy_for_a_malformed_proxy_is_about_the_proxy(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", value)
    settings = settings_for(tmp_path, public_url="http://elsewhere")
    with pytest.raises(LabelStudioError) as caught:
        studio_of("http://studio")()
    verdict = refused(settings, read_token("a"), caught.value)
    assert f"http_proxy={value} is no address of a proxy" in verdict.evidence
    assert verdict.remedy == "set http_proxy to a proxy for HTTP, or add the host to no_proxy, then start anew"
    assert ("SOCKS is not spoken" in verdict.evidence) == value.startswith("socks")
    here = (200, {"model_class": "understudy"})
    [verdict] = judge_answers(settings, here, ask(settings, "http://elsewhere/health"))
    assert "not asked: http_proxy=" in verdict.evidence and verdict.remedy.startswith("mend that setting")


def test_a_password_in_netrc_does_not_replace_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with recording_proxy() as (server, seen), pytest.raises(AdminError):
        AdminClient(settings_for(tmp_path), server).projects()
    assert "Authorization: Bearer planted-token" in seen[0]


def trusts(settings: Settings, url: str, ca_file: str = "") -> list[str]:
    """What each client says: "" for well."""
    said = []
    for call in (studio_of(url, ca_file), AdminClient(settings, url).projects):
        try:
            call()
        except BackendError as error:
            said.append(error.message)
        else:
            said.append("")
    status, body = ask(settings, url)
    return [*said, "" if status == 200 else str(body)]


@pytest.mark.parametrize("name", BUNDLES)
def test_every_bundle_is_honoured_by_every_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, company: Authority, name: str
) -> None:
    value = company.file
    if name == "SSL_CERT_DIR":
        value = tmp_path / "certificates"
        value.mkdir()
        shown = ["openssl", "x509", "-hash", "-noout", "-in", company.file]
        digest = subprocess.run(shown, capture_output=True, text=True, check=True).stdout.strip()
        (value / f"{digest}.0").write_bytes(company.file.read_bytes())
    with over_tls(company.issue(f"good-{name}")) as url:
        said = trusts(settings_for(tmp_path), url)
        assert all("authority is not known here" in line for line in said)
        assert "LABEL_STUDIO_CA_FILE" in said[0]
        assert "SSL_CERT_FILE" in said[1]
        monkeypatch.setenv(name, str(value))
        assert trusts(settings_for(tmp_path), url) == ["", "", ""]


def test_label_studios_own_authority(tmp_path: Path, company: Authority) -> None:
    with over_tls(company.issue("studio")) as url:
        assert trusts(settings_for(tmp_path), url, str(company.file))[0] == ""
        settings = settings_for(
            tmp_path, label_studio_url=url, label_studio_ca_file=str(company.file), label_studio_api_key="a" * 40
        )
        with LabelStudioClient.of(settings) as client:
            assert client.whoami()["status"] == "UP"


@pytest.mark.parametrize(
    ("names", "ends", "said"),
    [
        ("DNS:localhost", "20210101000000Z", "has expired"),
        ("DNS:studio.example.com", "20991231000000Z", "is for another name"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, company: Authority, names: str, ends: str, said: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(company.file))
    with over_tls(company.issue(f"bad-{said.replace(' ', '-')}", names, ends=ends)) as url:
        lines = trusts(settings_for(tmp_path), url)
    assert len(lines) == 3
    assert all(f"the certificate of localhost {said}" in line for line in lines), lines


def test_one_that_nobody_signed_and_one_of_an_unknown_authority(tmp_path: Path, company: Authority) -> None:
    alone = Authority(tmp_path / "alone")
    both = tmp_path / "both.pem"
    both.write_text(alone.file.read_text() + (alone.folder / "authority.key").read_text())
    with over_tls(both) as url:
        assert "self-signed" in trusts(settings_for(tmp_path), url)[0]
    other = company.issue("other")
    with over_tls(other) as url:
        said = trusts(settings_for(tmp_path), url, str(alone.file))[0]
    assert f"nor by LABEL_STUDIO_CA_FILE={alone.file}" in said


def test_http_on_a_port_of_plain_http_is_told(tmp_path: Path) -> None:
    with serving(Quiet(("127.0.0.1", 0), Handler)) as server:
        for said in trusts(settings_for(tmp_path), f"https://localhost:{server.server_port}"):
            assert "does not speak TLS" in said


@pytest.mark.parametrize(("content", "said"), [(None, "cannot be read"), ("no certificate\n", "holds no certificate")])
@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "LABEL_STUDIO_CA_FILE"])
def test_a_file_that_is_missing_or_no_pem_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, said: str, name: str
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    if name != "LABEL_STUDIO_CA_FILE":
        monkeypatch.setenv(name, str(file))
    ca_file = str(file) if name == "LABEL_STUDIO_CA_FILE" else ""
    with pytest.raises(LabelStudioError, match=f"{name}={file} {said}"):
        studio_of("https://localhost:9", ca_file)()
    if not ca_file:
        with pytest.raises(SettingsError, match=f"{name}={file} {said}"):
            AdminClient(settings_for(tmp_path), "https://localhost:9").projects()
