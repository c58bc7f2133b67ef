"""Every way to write HOST, on real sockets, and with what understudy itself uses to see whether it answers."""

from __future__ import annotations

import os
import socket
from urllib.request import ProxyHandler, build_opener

import psutil
import pytest

from backend.addresses.host import url_of
from backend.addresses.listening import open_listener, require_free_port
from backend.errors import SettingsError
from backend.supervision.delayed_start import http_answers
from tests.conftest import serving
from tests.support.certificate_authority import Handler, Quiet


def hosts() -> list[str]:
    """Those that this machine has."""
    found = ["127.0.0.1", "0.0.0.0", "localhost", "127.1"]
    addresses = [entry.address for entries in psutil.net_if_addrs().values() for entry in entries]
    if "::1" in addresses:
        found += ["::", "::1", "[::1]", "[::]", "0:0:0:0:0:0:0:1"]
    return found + [address for address in addresses if "%" in address][:1]


@pytest.mark.parametrize("host", hosts())
def test_what_listens_there_is_found_there(host: str) -> None:
    listener = open_listener(host, 0)
    port = listener.getsockname()[1]
    server = Quiet(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    listener.listen()
    with serving(server):
        assert http_answers(host, port)
        with build_opener(ProxyHandler({})).open(f"{url_of(host, port)}/health", timeout=5) as reply:
            assert reply.status == 200
        if host.strip("[]") == "::":
            assert http_answers("127.0.0.1", port)


def test_everywhere_and_one_address_exclude_each_other() -> None:
    with open_listener("0.0.0.0", 0) as taken:
        taken.listen()
        with pytest.raises(SettingsError, match="already in use"):
            require_free_port("127.0.0.1", taken.getsockname()[1], patience=0)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("192.0.2.1", "no address of this machine"),
        ("2001:db8::1", "no address of this machine"),
        ("fe80::1%nowhere0", "HOST=fe80"),
        ("no such host", "write an address of this machine"),
        ("a..b", "no name of a host"),
        ("x" * 64 + ".example", "no name of a host"),
    ],
)
def test_a_host_of_elsewhere_is_one_line(host: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        require_free_port(host, 9090, patience=0)
    assert "\n" not in caught.value.message


@pytest.mark.skipif(os.getuid() == 0, reason="root may listen on every port")
def test_a_port_of_the_administrator_is_said_to_be_one() -> None:
    with pytest.raises(SettingsError, match="ports under 1024"):
        require_free_port("127.0.0.1", 1)
    assert socket.AF_INET
