"""Which proxy a call goes through, decided in one place for every client: the libraries differ, and each of them sends
some of this machine's own calls, with their tokens, to the company's proxy."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from backend.addresses.host import is_loopback, port_of, read_address, split_url
from backend.errors import SettingsError
from backend.settings.settings import child_environment

SCHEMES = ("http", "https")


@dataclass(frozen=True)
class Proxy:
    """`url` may hold a password; `shown` does not, and names the variable that it comes from."""

    url: str
    variable: str

    @property
    def shown(self) -> str:
        """For messages: without user and password."""
        return f"{shown_proxy(self.url)} ({self.variable})"


def proxy_for(url: str, environment: Mapping[str, str] | None = None) -> Proxy | None:
    """The proxy for a call of `url`; None for a direct one. Raises SettingsError for one that cannot be used.

    What is local is called directly, whatever the environment says."""
    given = child_environment() if environment is None else environment
    parts = split_url(url)
    if parts is None or is_loopback(parts.hostname or ""):
        return None
    variable, value = _named(given, f"{parts.scheme}_proxy") or _named(given, "all_proxy") or ("", "")
    if not value.strip() or is_excepted(parts, (_named(given, "no_proxy") or ("", ""))[1]):
        return None
    return Proxy(_checked(value.strip(), variable), variable)


def is_excepted(parts: SplitResult, no_proxy: str) -> bool:
    """Whether `no_proxy` names the host of a URL, read as curl reads it: names with or without a leading dot stand for
    what is under them as well, `*` for everything; addresses, networks (10.0.0.0/8) and ports are compared."""
    host, port = (parts.hostname or "").rstrip(".").lower(), port_of(parts)
    return any(_matches(entry, host, port) for entry in re.split(r"[,\s]+", no_proxy.strip()) if entry)


def shown_proxy(url: str) -> str:
    """`url` without what is before the `@`."""
    scheme, mark, rest = url.rpartition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"


def _matches(entry: str, host: str, port: int) -> bool:
    name, wanted = _split_port(entry.lower())
    if wanted is not None and wanted != port:
        return False
    if name == "*":
        return True
    address = read_address(host)
    if address is not None:
        try:
            network = ipaddress.ip_network(name.removeprefix("[").removesuffix("]"), strict=False)
        except ValueError:
            return read_address(name) == address
        return network.version == address.version and address in network
    name = name.removeprefix("*").removeprefix(".").rstrip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _split_port(entry: str) -> tuple[str, int | None]:
    """`host`, `host:port`, `[::1]:port`; a bare IPv6 address has colons of its own."""
    name, colon, port = entry.rpartition(":")
    if colon and port.isdecimal() and (":" not in name or name.endswith("]")):
        return name, int(port)
    return entry, None


def _named(environment: Mapping[str, str], name: str) -> tuple[str, str] | None:
    """(variable, value), small letters first, even when empty: so one run is set free of a variable in capitals."""
    for variable in (name, name.upper()):
        if variable in environment:
            if variable == "HTTP_PROXY" and "REQUEST_METHOD" in environment:
                continue  # a CGI program's: whoever calls it sets this one with a header
            return variable, environment[variable]
    return None


def _checked(value: str, variable: str) -> str:
    """`value` as a URL. Raises SettingsError, without what may be a password."""
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        good = parts.scheme.lower() in SCHEMES and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or re.search(r"[\s\x00-\x1f]", url):
        shown = shown_proxy(url).encode("unicode_escape").decode()
        spoken = "; SOCKS is not spoken" if url.lower().startswith("socks") else ""
        raise SettingsError(
            f"{variable}={shown} is no address of a proxy that can be used: write http://host:port or "
            f"https://host:port{spoken}",
            setting=variable,
            hint=f"set {variable} to a proxy for HTTP, or add the host to no_proxy, then start anew",
        )
    return url
