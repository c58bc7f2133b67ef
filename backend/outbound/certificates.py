"""The certificate authorities that every client trusts, and the reason why one is refused."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from backend.errors import SettingsError
from backend.settings.settings import child_environment

BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""In this order; the first that is set replaces the public authorities. The last two are OpenSSL's, and go together."""

EXPIRED, NOT_YET, SELF_SIGNED, HOST_MISMATCH, ADDRESS_MISMATCH = 10, 9, 18, 62, 64
"""OpenSSL's X509_V_ERR_…"""


@dataclass(frozen=True)
class Trust:
    """Certificates (PEM) besides or instead of the public ones: path, and the setting that names it."""

    base: tuple[tuple[str, str], ...] = ()
    added: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> str:
        """For messages."""
        return " and ".join(f"{name}={path}" for name, path in (*self.base, *self.added))


def read_trust(ca_file: str = "", environment: Mapping[str, str] | None = None) -> Trust:
    """What the environment names, and `ca_file`, the value of LABEL_STUDIO_CA_FILE, on top of it."""
    given = child_environment() if environment is None else environment
    found = tuple((name, given[name]) for name in BUNDLE_VARIABLES if given.get(name, "").strip())
    base = found if found and found[0][0].startswith("SSL") else found[:1]
    return Trust(base, (("LABEL_STUDIO_CA_FILE", ca_file),) if ca_file else ())


@lru_cache(maxsize=8)
def context_of(trust: Trust) -> ssl.SSLContext:
    """For clients. Raises SettingsError that names a file which is not there, or holds no certificate.

    Without a bundle of its own: this system's authorities, and those that Mozilla trusts."""
    import certifi

    context = ssl.create_default_context(cafile=certifi.where())
    if trust.base:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        context.load_default_certs()
    for name, path in (*trust.base, *trust.added):
        _load(context, name, path)
    return context


def require_certificates(name: str, path: str) -> None:
    """Raises SettingsError that says what is wrong with the file or folder that setting `name` names."""
    _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), name, path)


def find_refusal(error: BaseException) -> ssl.SSLError | None:
    """The TLS error behind a client's own one."""
    return next((found for found in _behind(error) if isinstance(found, ssl.SSLError)), None)


def explain(error: ssl.SSLError, host: str, trust: Trust, setting: str) -> tuple[str, str]:
    """(what is wrong with the certificate of `host`, the remedy). `setting` would trust another authority."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        if "WRONG_VERSION_NUMBER" in str(error) or "HTTP_REQUEST" in str(error):
            return f"{host} does not speak TLS on that port", "write http:// instead of https://, or another port"
        return f"no TLS with {host}: {error.reason or error}", "see the log of that server, or of a proxy before it"
    code, said = error.verify_code, error.verify_message
    if code in (EXPIRED, NOT_YET):
        what = "has expired" if code == EXPIRED else "is not valid yet"
        return f"the certificate of {host} {what}", f"renew it on {host}, and compare the clocks of both machines"
    if code in (HOST_MISMATCH, ADDRESS_MISMATCH):
        return f"the certificate of {host} is for another name ({said})", "use the name that is in the certificate"
    seen = f", nor by {trust.names}" if trust.names else ""
    if code == SELF_SIGNED:
        remedy = f"set {setting} to that certificate as a PEM file"
        return f"the certificate of {host} is self-signed, and not trusted here{seen} ({said})", remedy
    remedy = f"set {setting} to a PEM file with the certificate of that authority (your company's, for instance)"
    return f"the certificate of {host} is not trusted: its authority is not known here{seen} ({said})", remedy


def _load(context: ssl.SSLContext, name: str, path: str) -> None:
    place, hint = Path(path).expanduser(), f"let {name} name a file of certificates in PEM form, or leave it out"
    try:
        if place.is_dir():
            context.load_verify_locations(capath=str(place))
            if name != "SSL_CERT_DIR" and not any(place.iterdir()):
                raise SettingsError(f"{name}={path} is an empty folder", setting=name, hint=hint)
        else:
            context.load_verify_locations(cafile=str(place))
    except ssl.SSLError as error:
        raise SettingsError(f"{name}={path} holds no certificate in PEM form", setting=name, hint=hint) from error
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise SettingsError(f"{name}={path} cannot be read: {said}", setting=name, hint=hint) from error


def _behind(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    todo: list[object] = [error]
    while todo:
        found = todo.pop()
        if isinstance(found, BaseException) and id(found) not in seen:
            seen.add(id(found))
            yield found
            todo += [found.__context__, found.__cause__, getattr(found, "reason", None), *found.args]
