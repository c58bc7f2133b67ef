from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import SettingsError
from backend.outbound.proxies import proxy_for

PROXY = "http://proxy.corp:3128"


def url_of_proxy(url: str, **environment: str) -> str | None:
    found = proxy_for(url, environment)
    return found and found.url


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("example.com", "http://example.com/x", True),
        ("example.com", "http://studio.example.com", True),
        (".example.com", "http://studio.example.com", True),
        (".example.com", "http://example.com", True),
        ("*.example.com", "http://studio.example.com", True),
        ("EXAMPLE.com.", "http://Studio.Example.COM", True),
        ("example.com", "http://notexample.com", False),
        ("example.com", "http://example.com.evil.org", False),
        ("*", "http://anything", True),
        ("a, b ,studio", "http://studio", True),
        ("a b\tstudio", "http://studio", True),
        ("studio:8080", "http://studio:8080", True),
        ("studio:8080", "http://studio:8081", False),
        ("studio:80", "http://studio", True),
        ("studio:443", "https://studio", True),
        ("10.1.2.3", "http://10.1.2.3:8080", True),
        ("10.1.2.3", "http://10.1.2.30", False),
        ("10.1.2.3:8080", "http://10.1.2.3:8080", True),
        ("10.1.2.3:8080", "http://10.1.2.3", False),
        ("10.0.0.0/8", "http://10.200.0.1", True),
        ("10.0.0.0/8", "http://11.0.0.1", False),
        ("10.0.0.0/8", "http://ten.example.com", False),
        ("192.168.1.7/24", "http://192.168.1.200", True),
        ("fd00::/8", "http://[fd12::1]:8080", True),
        ("fd00::2", "http://[fd00:0:0::2]", True),
        ("[fd00::2]", "http://[fd00::2]", True),
        ("[fd00::2]:8080", "http://[fd00::2]:8080", True),
        ("[fd00::2]:8080", "http://[fd00::2]:80", False),
        ("fd00::/8", "http://10.0.0.1", False),
        ("", "http://studio", False),
        (" , ,,", "http://studio", False),
    ],
)
def test_no_proxy_is_read_as_curl_reads_it(no_proxy: str, url: str, direct: bool) -> None:
    environment = {"http_proxy": PROXY, "https_proxy": PROXY}
    assert (url_of_proxy(url, no_proxy=no_proxy, **environment) is None) is direct
    assert (url_of_proxy(url, NO_PROXY=no_proxy, **environment) is None) is direct


@given(st.ip_addresses(v=4), st.integers(1, 32))
def test_networks_hold_their_addresses_and_no_others(address: ipaddress.IPv4Address, bits: int) -> None:
    network = ipaddress.ip_network(f"{address}/{bits}", strict=False)
    inside = url_of_proxy(f"http://{address}", http_proxy=PROXY, no_proxy=str(network)) is None
    assert inside
    if not (outside := ipaddress.IPv4Address(int(address) ^ 1 << 31)).is_loopback and not outside.is_unspecified:
        assert url_of_proxy(f"http://{outside}", http_proxy=PROXY, no_proxy=str(network)) == PROXY


@pytest.mark.parametrize(
    "url", ["http://localhost:9090", "http://127.0.0.9:9090", "https://[::1]:9090", "http://0.0.0.0"]
)
@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_what_is_local_never_goes_through_one(url: str, name: str) -> None:
    assert proxy_for(url, {name: PROXY, "no_proxy": ""}) is None


def test_the_variable_of_the_scheme_goes_first_and_small_letters() -> None:
    assert url_of_proxy("http://a", HTTP_PROXY="http://big", http_proxy="http://small") == "http://small"
    assert url_of_proxy("https://a", http_proxy="http://other", all_proxy="http://all") == "http://all"
    assert url_of_proxy("https://a", https_proxy="http://own", ALL_PROXY="http://all") == "http://own"
    assert url_of_proxy("http://a", http_proxy="", HTTP_PROXY="http://big") is None
    assert url_of_proxy("http://a", HTTP_PROXY="http://big", REQUEST_METHOD="GET") is None
    assert url_of_proxy("http://a", no_proxy="", NO_PROXY="a", http_proxy=PROXY) == PROXY


def test_a_proxy_without_a_scheme_is_one_of_http() -> None:
    assert url_of_proxy("http://a", http_proxy="proxy.corp:3128") == "http://proxy.corp:3128"


@pytest.mark.parametrize(
    "value", ["socks5://proxy:1080", "http://", "http://proxy:port", "http://[::1", "ftp://proxy", "http://pro xy:1"]
)
def test_one_that_cannot_be_used_is_named_without_its_password(value: str) -> None:
    planted = value.replace("://", "://me:planted@")
    with pytest.raises(SettingsError, match=r"^http_proxy=") as caught:
        proxy_for("http://studio", {"http_proxy": planted})
    assert "planted" not in caught.value.message
    found = proxy_for("http://studio", {"http_proxy": "http://me:planted@proxy:1"})
    assert found and found.shown == "http://proxy:1 (http_proxy)"
