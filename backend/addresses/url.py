"""Whether a text is an address that every client reads alike. What is wrong is said without repeating a password."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

UNESCAPED = r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*"
"""What stands for itself in a user's name or a password (RFC 3986), and what is escaped."""

HOST = r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9]+)?\])"
PLACE = rf"{HOST}(?::(?P<port>[0-9]{{1,5}}))?"
QUERY = r"(?:\?(?P<query>[A-Za-z0-9._~!$&'()*,;=:/%-]*))?"

REDIS_SERVER = re.compile(rf"rediss?://(?:{UNESCAPED}(?::{UNESCAPED})?@)?{PLACE}(?:/[0-9]*)?{QUERY}")
REDIS_SOCKET = re.compile(rf"unix://(?:{UNESCAPED}(?::{UNESCAPED})?@)?/[^?#]+{QUERY}")
REDIS_SERVICE = re.compile(
    rf"rediss?\+sentinel://(?:{UNESCAPED}(?::{UNESCAPED})?@)?{HOST}(?::[0-9]{{1,5}})?(?:,{HOST}(?::[0-9]{{1,5}})?)*,?"
    rf"/[A-Za-z0-9._-]+(?:/[0-9]*)?/?{QUERY}"
)

REDIS_REMEDY = (
    "it is no address of a Redis. One of: redis://[user:password@]host:port/db, rediss://… (TLS), "
    "unix:///path?db=0, redis+sentinel://host:port,host:port/service/db. A password is percent-encoded: /, @, :, #, ?, "
    "% and a blank are written %2F, %40, %3A, %23, %3F, %25 and %20"
)
"""Of REDIS_URL, without what was found: a password that is not escaped ends up in the place of host, port or path."""

PAGES = re.compile(r"(.*?)/(?:projects(?:/\d+.*)?|user/.*|api(?:/.*)?)", re.DOTALL)
"""Of Label Studio: copied from the browser's address bar."""

ROUTES = re.compile(r"(.*?)/(?:predict|setup|health|webhook|ready|metrics|admin)(?:/.*)?", re.DOTALL)
"""Of ours: Label Studio adds them itself."""


class NoAddress(ValueError):
    """What is wrong, and what to write instead."""


def check_redis_url(url: str) -> str:
    """`url` when all of it can be read in one way only. Raises NoAddress."""
    found = next((m for form in (REDIS_SERVER, REDIS_SOCKET, REDIS_SERVICE) if (m := form.fullmatch(url))), None)
    if found is None or not _is_port(found.groupdict().get("port")) or re.search("%(?![0-9A-Fa-f]{2})", url):
        raise NoAddress(REDIS_REMEDY)
    return url


class Leads(NamedTuple):
    """What an address leads to: `login`, the settings that hold its user and password or its key; `beyond`: paths
    behind what is wanted, the first group of which is that."""

    login: str
    beyond: re.Pattern[str] | None = None


TO_LABEL_STUDIO = Leads("LABEL_STUDIO_API_KEY", PAGES)
TO_US = Leads("BASIC_AUTH_USER and BASIC_AUTH_PASS", ROUTES)
TO_TEACHER = Leads("TEACHER_KEY")


def check_http_url(url: str, leads: Leads = TO_LABEL_STUDIO) -> str:
    """`url` without a slash at its end. Raises NoAddress with what to write instead."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise NoAddress(_without_scheme(url))
    if "@" in rest:
        shown = f"{scheme}://{rest.rpartition('@')[2]}"
        raise NoAddress(f"it holds a user or a password, which belong into {leads.login}: write {shown!r}")
    if wrong := next((what for char, what in (("?", "a query"), ("#", "a fragment")) if char in rest), ""):
        raise NoAddress(f"it has {wrong}: write {f'{scheme}://' + re.split('[?#]', rest)[0].rstrip('/')!r}")
    if blank := re.search(r"\s", rest):
        raise NoAddress(f"it has a blank at character {len(scheme) + 4 + blank.start()}: {url!r}")
    host, slash, path = rest.partition("/")
    _check_place(host, url)
    url = f"{scheme.lower()}://{host}{slash}{path}".rstrip("/")
    if leads.beyond and (page := leads.beyond.fullmatch(f"{slash}{path}".rstrip("/"))):
        raise NoAddress(f"it is the address of a page or route: write {f'{scheme.lower()}://{host}{page[1]}'!r}")
    return url


def check_hook_url(url: str) -> str:
    """`url` of a webhook as it is: a query may belong to it. Raises NoAddress that repeats no path, which may be a
    secret."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise NoAddress("a webhook's address begins with https:// or http://")
    host = re.split(r"[/?#]", rest)[0]
    if "@" in host:
        raise NoAddress("a webhook's address holds no user and no password")
    if "#" in rest:
        raise NoAddress("a webhook's address has no fragment (#)")
    if not re.fullmatch(r"[!-~]+", rest):
        raise NoAddress("a webhook's address has a blank or a sign beyond ASCII in it: write it percent-encoded")
    try:
        _check_place(host, "")
    except NoAddress:
        raise NoAddress("a webhook's address has no host:port in it that can be read") from None
    return url


def _without_scheme(url: str) -> str:
    slip = re.match(r"(https?)[:/\\]+(?!\d+(?:/|$))", url, re.IGNORECASE)  # http//host, http:/host, http:\\host
    scheme = slip[1].lower() if slip else "http"
    rest = url[slip.end() :] if slip else re.sub(r"^[A-Za-z][A-Za-z+.-]*:/{0,2}(?!\d+(?:/|$))", "", url)
    rest = re.split(r"[?#\s]", rest.lstrip("/\\").rpartition("@")[2])[0].rstrip("/")
    return f"it does not begin with http:// or https://: write '{scheme}://{rest or 'host:port'}'"


def _check_place(place: str, url: str) -> None:
    found = re.fullmatch(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?", place)
    if not found or not _is_port(found["port"]):
        hint = "; an IPv6 address stands in brackets, as http://[::1]:9090" if place.count(":") > 1 else ""
        raise NoAddress(f"{url!r} has no host:port in it that can be read{hint}")
    host = found["host"]
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise NoAddress(f"{url!r}: between the brackets is no IPv6 address") from None
    elif not re.fullmatch(r"[\w-]+(?:\.[\w-]+)*\.?", host):
        raise NoAddress(f"{url!r} has no host in it that can be read")


def _is_port(text: str | None) -> bool:
    return text is None or 1 <= int(text) <= 65535
