"""Addresses of machines as people write them: names, IPv4, IPv6 with brackets or a zone."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses to listen on, and the one by which this machine then reaches itself."""


def url_of(host: str, port: int) -> str:
    """The URL by which this machine reaches what listens on `host`."""
    bare = host.strip().removeprefix("[").removesuffix("]")
    found = read_address(bare)
    bare = EVERYWHERE.get(str(found), bare) if found else bare
    # A zone is written with %25 in a URL (RFC 6874).
    return f"http://[{bare.replace('%', '%25', 1)}]:{port}" if ":" in bare else f"http://{bare}:{port}"


def read_address(host: str) -> Address | None:
    """The IP address that `host` writes, without its zone; None for a name. 127.1 and 0x7f000001 are addresses too."""
    bare = host.strip().removeprefix("[").removesuffix("]").partition("%")[0]
    try:
        found: Address = ipaddress.ip_address(bare)
    except ValueError:
        if not bare or bare[-1] in "." or not bare[0].isdigit():
            return None
        try:
            return ipaddress.IPv4Address(socket.inet_aton(bare))
        except (OSError, ValueError, UnicodeError):
            return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def is_loopback(host: str) -> bool:
    """Whether `host` can only be this machine: localhost, 127.0.0.0/8, ::1, and 0.0.0.0 and :: (whoever calls these
    reaches himself)."""
    name = host.strip().rstrip(".").lower()
    if name in ("localhost", "ip6-localhost", "ip6-loopback") or name.endswith(".localhost"):
        return True
    found = read_address(host)
    return found is not None and (found.is_loopback or found.is_unspecified)


def split_url(url: str) -> SplitResult | None:
    """The parts of an http(s) URL with a host and a port that is a number; None for anything else."""
    try:
        parts = urlsplit(url.strip())
        _ = parts.port  # ValueError: no number
    except ValueError:
        return None
    return parts if parts.scheme in ("http", "https") and parts.hostname else None


def port_of(parts: SplitResult) -> int:
    """Its port, or the scheme's."""
    return parts.port or (443 if parts.scheme == "https" else 80)
