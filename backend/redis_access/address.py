"""Where Redis is: one server (redis://, rediss:// with TLS, unix://), or a service that Sentinels know the primary of.

`redis+sentinel://[user:password@]host[:26379],host2…/service[/db][?sentinel_username=…&sentinel_password=…]`, and
`rediss+sentinel://` with TLS to both. Secrets stay in the environment: no process is started with this address.
"""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import redis
from redis.sentinel import Sentinel, SentinelConnectionPool

from backend.addresses.unix_socket import open_unix_socket
from backend.addresses.url import REDIS_REMEDY, NoAddress, check_redis_url
from backend.errors import SettingsError
from backend.outbound.certificates import require_certificates
from backend.settings.settings import Settings

SENTINEL_PORT = 26379
SCHEMES = ("redis", "rediss", "unix")

STRICT_WHEN_SENT = "strict-when-sent"
"""How text that cannot be encoded or decoded is handled (a name of `codecs`)."""


def open_client(settings: Settings, **options: Any) -> Any:
    """A redis.Redis at REDIS_URL, or at the embedded server; sends nothing. Raises SettingsError."""
    if settings.redis_url:
        try:
            check_redis_url(settings.redis_url)
        except NoAddress as error:
            raise SettingsError(f"REDIS_URL cannot be used: {error}", setting="REDIS_URL") from None
    codecs.register_error(STRICT_WHEN_SENT, _read_tolerantly)
    options.setdefault("encoding_errors", STRICT_WHEN_SENT)
    scheme = settings.effective_redis_url.partition("://")[0]
    tls: dict[str, Any] = {}
    if scheme.startswith("rediss") and settings.redis_ca_file:
        require_certificates("REDIS_CA_FILE", settings.redis_ca_file)
        tls["ssl_ca_path" if Path(settings.redis_ca_file).is_dir() else "ssl_ca_certs"] = settings.redis_ca_file
    try:
        if scheme.endswith("+sentinel"):
            return _open_behind_sentinel(settings.effective_redis_url, {**tls, **options})
        if scheme == "unix":
            options["connection_class"] = UnixConnection
        client = redis.Redis.from_url(settings.effective_redis_url, **tls, **options)
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)  # an option that does not exist is found here, not later
        if not tls and (named := pool.connection_kwargs.get("ssl_ca_certs")):
            require_certificates("ssl_ca_certs of REDIS_URL", named)
        return client
    except (ValueError, TypeError):  # TypeError: an option in the query that does not exist
        raise SettingsError(f"REDIS_URL cannot be used: {REDIS_REMEDY}", setting="REDIS_URL") from None


def check_address(settings: Settings) -> None:
    """Raises SettingsError when REDIS_URL is no address; sends nothing."""
    open_client(settings).close()


def shown_address(url: str) -> str:
    """`url` without user, password and options, for messages and logs."""
    scheme, _, rest = url.partition("://")
    place = rest.partition("?")[0]
    head, slash, path = place.rpartition("@")[2].partition("/")
    return f"{scheme}://{head}{slash}{unquote(path) if scheme == 'unix' else path}"


def _read_tolerantly(error: UnicodeError) -> tuple[str | bytes, int]:
    """Bytes that are no UTF-8 (a bit of the append-only file was flipped) are read as `\\xff`, which is no JSON either:
    one such value must not keep everybody from reading the others. What cannot be sent raises UnicodeEncodeError."""
    if isinstance(error, UnicodeDecodeError):
        return codecs.backslashreplace_errors(error)
    raise error


class ClientBehindSentinel(redis.Redis):
    """Its close ends the connections to the Sentinels as well, which are somebody else's for the library."""

    def close(self) -> None:
        super().close()
        if isinstance(self.connection_pool, SentinelConnectionPool):
            self.connection_pool.sentinel_manager.close()


class UnixConnection(redis.UnixDomainSocketConnection):
    """To a socket whose path may be longer than the kernel's address of one."""

    def _connect(self) -> Any:
        connection = open_unix_socket(self.path, self.socket_connect_timeout)
        connection.settimeout(self.socket_timeout)
        return connection


def _open_behind_sentinel(url: str, options: dict[str, Any]) -> Any:
    parts = urlsplit(url)
    if parts.scheme.removesuffix("+sentinel") not in SCHEMES[:2]:
        raise ValueError(parts.scheme)
    credentials, _, places = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    hosts = [_split_host(place) for place in places.split(",") if place]
    if not hosts or not service:
        raise ValueError("hosts or service missing")
    user, _, password = credentials.partition(":")
    query = {name: values[0] for name, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()}
    own = {name: query.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    if query:
        raise ValueError("unknown options")
    common = {name: value for name, value in options.items() if name.startswith(("ssl", "socket"))}
    if parts.scheme.startswith("rediss"):
        common["ssl"] = options["ssl"] = True
    # A Sentinel answers at once or not at all, also when the replies of the Redis may take for ever.
    patience = {"socket_timeout": options.get("socket_connect_timeout"), "retry": options.get("retry")}
    sentinel = Sentinel(hosts, sentinel_kwargs={**common, **own, **patience})
    return sentinel.master_for(
        service,
        redis_class=ClientBehindSentinel,
        db=int(database or 0),
        username=unquote(user) or None,
        password=unquote(password) or None,
        **options,
    )


def _split_host(place: str) -> tuple[str, int]:
    """`host`, `host:port` or `[::1]:port`."""
    host, colon, port = place.rpartition(":")
    if not colon or place.endswith("]"):
        host, port = place, str(SENTINEL_PORT)
    return host.strip("[]"), int(port)
