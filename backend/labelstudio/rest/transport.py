"""Calls to Label Studio's REST API: authentication with either kind of token, time-outs, retries, readable errors.

A GET is repeated when it comes to nothing, a POST only when Label Studio cannot have carried it out.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from backend.errors import LabelStudioError, SettingsError
from backend.labelstudio.rest.circuit_breaker import breaker_of
from backend.labelstudio.rest.token import EXCHANGE_PATH, Token
from backend.outbound.clients import open_httpx, refusal
from backend.outbound.proxies import proxy_for
from backend.redaction import process_redactor

if TYPE_CHECKING:
    import httpx2

Json = dict[str, Any]

CONNECT_SECONDS = 5.0
READ_SECONDS = 300.0
"""Label Studio stores about 6 predictions a second on a small machine, and lists slowly."""

ATTEMPTS_PER_CALL = 4
WAIT_SECONDS = (0.5, 1.0, 2.0)
"""Waits between the attempts of one call."""

PRIVATE_ADDRESS_SETTINGS = "ML_BLOCK_LOCAL_IP=false SSRF_PROTECTION_ENABLED=false"
"""Label Studio's own environment: without both it calls no private address (or, with one, sends no annotation)."""

FROM_PROXIES = frozenset({403, 407, 502, 503, 504})
"""What a proxy answers itself."""

_REMEDIES = (
    (
        403,
        "reserved network address",
        f"set {PRIVATE_ADDRESS_SETTINGS} in the environment of Label Studio and restart it",
    ),
    (
        401,
        "legacy token",
        "use a personal access token, or allow legacy tokens in Label Studio's organization settings",
    ),
    (401, "", "LABEL_STUDIO_API_KEY is not a valid token of this Label Studio, or has expired"),
    (403, "", "the user of LABEL_STUDIO_API_KEY may not do this"),
    (404, "", "no such object, or the user of LABEL_STUDIO_API_KEY cannot see it"),
)


class Transport:
    """One Label Studio and one token. Use from one thread at a time; `close` it or use it as a context manager."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        ca_file: str = "",
        attempts: int = ATTEMPTS_PER_CALL,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self.url = url.rstrip("/")
        self._token, self._ca_file = Token(api_key), ca_file
        process_redactor().learn(api_key)
        self._attempts, self._read_seconds = attempts, read_seconds
        self._breaker = breaker_of(self.url)
        self._client: httpx2.Client | None = None

    def call(self, method: str, path: str, body: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        """The JSON of one API call, None when the reply is empty.

        Raises LabelStudioError whose evidence holds `status` (None: no answer), `path` and, where known, a `hint`.
        GET, PATCH, PUT and DELETE are repeated on 5xx and lost connections; POST only when it cannot have arrived."""
        from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_chain, wait_fixed

        if (rest := self._breaker.wait()) > 0:
            raise self._error(f"{self.url} does not answer, and is left alone for {rest:.0f} s", path, sent=False)
        repeatable = method != "POST"
        retrying = Retrying(
            retry=retry_if_exception(lambda error: _is_passing(error, repeatable)),
            stop=stop_after_attempt(self._attempts),
            wait=wait_chain(*(wait_fixed(seconds) for seconds in WAIT_SECONDS)),
            reraise=True,
        )
        return retrying(self._watched, method, path, body, params)

    def call_object(self, method: str, path: str, body: object = None, params: Json | None = None) -> Json:
        """The same where the reply is an object. Raises LabelStudioError when it is none."""
        reply = self.call(method, path, body, params)
        if not isinstance(reply, dict):
            raise LabelStudioError(f"{path}: Label Studio answered something else than an object", path=path)
        return reply

    def call_list(self, path: str, params: Json) -> list[Json]:
        """What a GET lists. Raises LabelStudioError when that is no list."""
        reply = self.call("GET", path, None, params)
        if not isinstance(reply, list):
            raise LabelStudioError(f"{path}: Label Studio answered something else than a list", path=path)
        return reply

    def close(self) -> None:
        """Give back the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _watched(self, method: str, path: str, body: Any, params: Mapping[str, Any] | None) -> Any:
        """One attempt, of which the breaker hears whether there was any answer."""
        try:
            found = self._once(method, path, body, params)
        except LabelStudioError as error:
            self._breaker.note(answered=not _is_silence(error))
            raise
        self._breaker.note(answered=True)
        return found

    def _once(self, method: str, path: str, body: Any, params: Mapping[str, Any] | None) -> Any:
        reply = self._guarded(path, lambda: self._send(method, path, body, params))
        if not 200 <= reply.status_code < 300:
            raise self._refusal(reply, path)
        if not reply.content:
            return None
        try:
            return reply.json()
        except ValueError as error:
            raise self._error(f"{self.url} does not answer in JSON: is it a Label Studio?", path, reply) from error

    def _send(self, method: str, path: str, body: Any, params: Mapping[str, Any] | None) -> httpx2.Response:
        """The reply. An access token of before that is refused is renewed once: nothing was carried out with it."""

        def send() -> httpx2.Response:
            headers = {"Authorization": self._token.header(self._exchange)}
            url = f"{self.url}/{path.lstrip('/')}"
            return self._connected().request(method, url, json=body, params=params or None, headers=headers)

        held = self._token.is_held
        reply = send()
        if held and reply.status_code == 401:
            self._token.forget()
            reply = send()
        return reply

    def _exchange(self, key: str) -> str:
        """An access token for the personal one. Raises LabelStudioError."""
        reply = self._connected().post(f"{self.url}{EXCHANGE_PATH}", json={"refresh": key})
        if reply.status_code != 200:
            raise self._refusal(reply, EXCHANGE_PATH)
        try:
            found = reply.json()
        except ValueError:
            found = None
        access = found.get("access") if isinstance(found, dict) else None
        if not isinstance(access, str) or not access:
            said = f"{self.url} gives no access token for LABEL_STUDIO_API_KEY: is it a Label Studio?"
            raise self._error(said + self._by_way_of(), EXCHANGE_PATH)
        return access

    def _connected(self) -> httpx2.Client:
        """Made late: most processes never call Label Studio."""
        if self._client is None:
            import httpx2

            # A redirect would turn a POST into a GET; the refusal names the address to set instead.
            timeout = httpx2.Timeout(self._read_seconds, connect=CONNECT_SECONDS)
            headers = {"User-Agent": "understudy"}
            self._client = open_httpx(self.url, self._ca_file, timeout=timeout, headers=headers)
            weakref.finalize(self, self._client.close)  # for those who forget to close
        return self._client

    def _guarded(self, path: str, call: Callable[[], httpx2.Response]) -> httpx2.Response:
        """`call()` with the connection's errors as LabelStudioError."""
        import httpx2

        try:
            return call()
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise self._error(f"LABEL_STUDIO_URL {self.url!r} is not a URL: {error}", path) from error
        except SettingsError as error:  # a proxy or a file of authorities
            hint = error.evidence.get("hint", "")
            raise LabelStudioError(error.message, status=None, path=path, hint=hint, answered=True) from error
        except httpx2.ProxyError as error:
            raise self._error(f"{self.url} is not reached{self._by_way_of()}: {error}", path, sent=False) from error
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            if told := refusal(error, self.url, self._ca_file, "LABEL_STUDIO_CA_FILE"):
                raise self._distrust(path, *told) from error
            raise self._error(f"{self.url} does not answer{self._by_way_of()}: {error}", path, sent=False) from error
        except (httpx2.LocalProtocolError, UnicodeError):
            raise self._error("LABEL_STUDIO_API_KEY cannot be sent in a header: make a new token", path) from None
        except httpx2.HTTPError as error:
            said = f"{self.url} broke off{self._by_way_of()}: {type(error).__name__} {error}"
            raise self._error(said, path, sent=True) from error

    def _distrust(self, path: str, what: str, remedy: str) -> LabelStudioError:
        """Not tried again: no moment later would make it better."""
        return LabelStudioError(f"{self.url}: {what}: {remedy}", status=None, path=path, hint=remedy, answered=True)

    def _by_way_of(self) -> str:
        """Says that a proxy stands between, "" when none does."""
        if (proxy := proxy_for(self.url)) is None:
            return ""
        host = urlsplit(self.url).hostname
        return f" through the proxy {proxy.shown} (a Label Studio inside needs none: add {host} to no_proxy)"

    def _refusal(self, reply: Any, path: str) -> LabelStudioError:
        if 300 <= reply.status_code < 400:
            target = reply.headers.get("location", "")
            return self._error(f"{self.url} redirects to {target}: set LABEL_STUDIO_URL to that address", path, reply)
        try:
            said = _said(reply.json())
        except ValueError:
            html = "html" in reply.headers.get("content-type", "")
            said = f"a page instead of JSON for {path}" if html else _said(reply.text)
        through = self._by_way_of() if reply.status_code in FROM_PROXIES else ""
        return self._error(f"Label Studio ({reply.status_code}){through}: {said}", path, reply, said)

    def _error(
        self, message: str, path: str, reply: Any = None, said: str = "", sent: bool | None = None
    ) -> LabelStudioError:
        status = getattr(reply, "status_code", None)
        hint = next((hint for code, text, hint in _REMEDIES if code == status and text in said), "")
        evidence = {"status": status, "path": path, **({"hint": hint} if hint else {})}
        return LabelStudioError(message, **evidence, **({} if sent is None else {"sent": sent}))


def _is_silence(error: LabelStudioError) -> bool:
    """Whether nothing came in time, as from a machine that is away; a reply that breaks off is none of these."""
    import httpx2

    if error.evidence.get("answered"):
        return False
    return isinstance(error.__cause__, httpx2.ConnectError | httpx2.TimeoutException)


def _is_passing(error: BaseException, repeatable: bool) -> bool:
    """Whether the same call may succeed a moment later, and may be made again."""
    if not isinstance(error, LabelStudioError):
        return False
    if error.evidence.get("sent") is False:
        return True
    status = error.evidence.get("status")
    passing = status in (429, 500, 502, 503, 504) or (status is None and "sent" in error.evidence)
    return repeatable and passing


def _said(body: object) -> str:
    """What Label Studio's error body says, as one line of text without markup."""
    if isinstance(body, Mapping):
        found = body.get("validation_errors") or body.get("detail") or body
        parts = list(_strings(found))
    else:
        parts = [str(body)]
    text = re.sub(r"<[^<>]{0,200}>", "", " ".join(parts))
    return " ".join(text.split())[:1000]


def _strings(value: object) -> list[str]:
    if isinstance(value, Mapping):
        named = [(name, _strings(item)) for name, item in value.items()]
        return [text if name == "non_field_errors" else f"{name}: {text}" for name, texts in named for text in texts]
    if isinstance(value, list):
        return [text for item in value for text in _strings(item)]
    return [str(value)] if value not in (None, "") else []
