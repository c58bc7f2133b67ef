"""HTTP clients that go where proxies.py says and trust what certificates.py says, and nothing else.

The libraries' own reading of the environment is off. It differs from one to the other, and requests' also replaces a
bearer token by a password from ~/.netrc."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from backend.addresses.host import port_of, split_url, url_of
from backend.outbound.certificates import context_of, explain, find_refusal, read_trust
from backend.outbound.proxies import Proxy, proxy_for
from backend.settings.settings import Settings

if TYPE_CHECKING:
    import httpx2
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3 import HTTPSConnectionPool, ProxyManager

OTHER_CA = "SSL_CERT_FILE"
"""The setting that trusts an authority for what is not Label Studio."""


def route_of(settings: Settings, url: str) -> Proxy | None:
    """The proxy for `url`; none for this machine's own web process, whatever HOST is. Raises SettingsError."""
    ours, wanted = split_url(url_of(settings.host, settings.port)), split_url(url)
    if ours and wanted and (ours.hostname, port_of(ours)) == (wanted.hostname, port_of(wanted)):
        return None
    return proxy_for(url)


def open_session(settings: Settings, url: str, ca_file: str = "") -> requests.Session:
    """For calls of the server at `url`. Raises SettingsError for a proxy or a file that cannot be used."""
    import requests

    session = requests.Session()
    session.trust_env = False
    proxy = route_of(settings, url)
    session.proxies = {} if proxy is None else {"http": proxy.url, "https": proxy.url}
    if url.lower().startswith("https:") or (proxy and proxy.url.lower().startswith("https:")):
        session.mount("https://", _adapter(context_of(read_trust(ca_file))))
        session.mount("http://", _adapter(context_of(read_trust(ca_file))))
    return session


def open_httpx(url: str, ca_file: str, *, timeout: httpx2.Timeout, headers: Mapping[str, str]) -> httpx2.Client:
    """The same for the calls of Label Studio's API. Follows no redirect."""
    import httpx2

    proxy = proxy_for(url)
    tls_to_proxy = proxy is not None and proxy.url.lower().startswith("https:")
    secure = tls_to_proxy or url.lower().startswith("https:")
    context = context_of(read_trust(ca_file)) if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    through = None if proxy is None else httpx2.Proxy(proxy.url, ssl_context=context if tls_to_proxy else None)
    return httpx2.Client(
        trust_env=False, verify=context, proxy=through, timeout=timeout, headers=headers, follow_redirects=False
    )


def failure(error: BaseException, url: str, proxy: Proxy | None, ca_file: str = "", setting: str = OTHER_CA) -> str:
    """Why a call of `url` came to nothing, with the remedy, when a proxy or a certificate is the reason; else ""."""
    told = refusal(error, url, ca_file, setting)
    if told is not None:
        return f"{url}: {told[0]}: {told[1]}"
    if proxy is None:
        return ""
    host = urlsplit(url).hostname
    return f"{url} is not reached through the proxy {proxy.shown}; if it needs none, add {host} to no_proxy"


def refusal(error: BaseException, url: str, ca_file: str = "", setting: str = OTHER_CA) -> tuple[str, str] | None:
    """(what is wrong with the server's certificate, the remedy); None when that is not the reason."""
    found = find_refusal(error)
    return explain(found, urlsplit(url).hostname or url, read_trust(ca_file), setting) if found else None


def _adapter(context: ssl.SSLContext) -> HTTPAdapter:
    """Checks certificates by `context` alone."""
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: object) -> None:
            super().init_poolmanager(connections, maxsize, block, ssl_context=context, **options)

        def proxy_manager_for(self, proxy: str, **options: object) -> ProxyManager:
            if str(proxy).lower().startswith("https:"):
                options["proxy_ssl_context"] = context
            return super().proxy_manager_for(proxy, ssl_context=context, **options)

        def cert_verify(self, conn: HTTPSConnectionPool, url: str, verify: object, cert: object) -> None:
            if url.lower().startswith("https"):
                conn.cert_reqs = "CERT_REQUIRED"  # without requests' own file of authorities

    return Adapter()
