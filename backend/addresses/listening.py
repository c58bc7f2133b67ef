"""The socket that the web process listens on: an address of this machine, of either IP, by number, name or zone."""

from __future__ import annotations

import errno
import socket
import time

from backend.errors import SettingsError

LEAST_OPEN_PORT = 1024

PORT_WAIT_SECONDS = 2.0
"""Seconds to wait for the port: after a kill -9 the old process needs a moment to go."""

Place = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
"""An address of IPv4 or IPv6, as `socket` has it; the last where Python lacks IPv6."""


def require_free_port(host: str, port: int, patience: float = PORT_WAIT_SECONDS) -> None:
    """Raises SettingsError when nothing can listen on host:port, after waiting `patience` seconds for it."""
    open_listener(host, port, patience).close()


def open_listener(host: str, port: int, patience: float = PORT_WAIT_SECONDS) -> socket.socket:
    """A socket bound to HOST and PORT. Raises SettingsError, in one line, when that cannot be."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return _bind(host, port)
        except UnicodeError:
            raise SettingsError(f"HOST={host!r} is no name of a host", setting="HOST") from None
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise SettingsError(_explain(error, host, port), setting="HOST") from error
        time.sleep(0.1)


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, address = _resolve(host, port)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and hasattr(socket, "IPV6_V6ONLY"):
            # `::` is everywhere, for those who come by IPv4 as well, whatever the system's default is.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address)
    except BaseException:
        listener.close()
        raise
    return listener


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, socket.SocketKind, int, Place]:
    """Of a name's addresses one of IPv4, if it has any: most things look for `localhost` there."""
    bare = host.strip().removeprefix("[").removesuffix("]")
    found = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, kind, protocol, address


def _explain(error: OSError, host: str, port: int) -> str:
    where = f"HOST={host} PORT={port} cannot be listened on"
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is already in use: stop what listens there, or choose another one with --port"
    if error.errno == errno.EACCES and port < LEAST_OPEN_PORT:
        return (
            f"{where}: ports under {LEAST_OPEN_PORT} are for the system's administrator; choose another one with --port"
        )
    if isinstance(error, socket.gaierror):
        return f"{where}: {error.strerror}; write an address of this machine, 127.0.0.1, 0.0.0.0 or ::"
    if error.errno in (errno.EADDRNOTAVAIL, errno.ENODEV, errno.EINVAL):
        return f"{where}: that is no address of this machine (0.0.0.0 and :: stand for all it has)"
    return f"{where}: {error.strerror or error}"
