from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.addresses.host import is_loopback, url_of


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:9090"),
        ("0.0.0.0", "http://127.0.0.1:9090"),
        ("localhost", "http://localhost:9090"),
        ("::", "http://[::1]:9090"),
        ("[::]", "http://[::1]:9090"),
        ("0:0:0:0:0:0:0:0", "http://[::1]:9090"),
        ("::1", "http://[::1]:9090"),
        ("[::1]", "http://[::1]:9090"),
        ("fd00::2", "http://[fd00::2]:9090"),
        ("fe80::1%eth0", "http://[fe80::1%25eth0]:9090"),
    ],
)
def test_a_host_becomes_a_url(host: str, url: str) -> None:
    assert url_of(host, 9090) == url


@given(st.ip_addresses(), st.integers(1, 65535), st.booleans())
def test_every_address_becomes_a_url_that_parses(address: ipaddress.IPv4Address, port: int, brackets: bool) -> None:
    host = f"[{address}]" if brackets and ":" in str(address) else str(address)
    parts = urlsplit(url_of(host, port))
    assert parts.port == port
    assert ipaddress.ip_address(str(parts.hostname)) in (address, *map(ipaddress.ip_address, ("127.0.0.1", "::1")))


LOCAL = [
    *("localhost", "LOCALHOST", "localhost.", "app.localhost", "127.0.0.1", "127.255.0.3", "127.1", "2130706433"),
    *("0x7f000001", "0.0.0.0", "0", "::", "::1", "[::1]", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::1%lo"),
]


@pytest.mark.parametrize("host", LOCAL)
def test_this_machine_in_every_form(host: str) -> None:
    assert is_loopback(host)


OTHERS = ["10.0.0.1", "128.0.0.1", "label-studio", "localhost.example.com", "mylocalhost", "fe80::1", "fd00::2", ""]


@pytest.mark.parametrize("host", [*OTHERS, "127.0.0.1.example.com", "1.127.0.0"])
def test_other_machines(host: str) -> None:
    assert not is_loopback(host)


@given(st.integers(0, 2**24 - 1))
def test_all_of_127(rest: int) -> None:
    address = ipaddress.IPv4Address((127 << 24) + rest)
    assert is_loopback(str(address))
    assert is_loopback(str(int(address)))
    assert socket.inet_aton(str(address))
