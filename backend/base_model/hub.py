"""BASE_MODEL's files, downloaded as every other call is made: by proxies.py and certificates.py, without ~/.netrc."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.errors import SettingsError
from backend.outbound.certificates import context_of, read_trust
from backend.outbound.clients import failure
from backend.outbound.proxies import Proxy, proxy_for
from backend.settings.settings import Settings
from model.errors import EncoderError

if TYPE_CHECKING:
    import httpx2


STEP_SECONDS = 60.0
"""Seconds for each step of a connection, so that a proxy which takes calls and says nothing is told of."""


def find_encoder_files(settings: Settings) -> Path:
    """Directory of the encoder named by BASE_MODEL, downloaded when it is on the hub only. Raises EncoderError."""
    from model.pretrained.base_model import find_base_model, is_local
    from model.pretrained.presets import hub_name

    wanted = settings.base_model
    if is_local(wanted):
        return find_base_model(wanted)
    return _fetch(f"BASE_MODEL={wanted!r}", hub_name(wanted), lambda: find_base_model(wanted))


def fetch_revision(hub_id: str, revision: str) -> Path:
    """Directory of a model of the hub at a revision, downloaded where it is not here. Raises EncoderError."""
    from model.pretrained.base_model import fetch_model

    what = f"{hub_id} at {revision[:12]}"
    try:
        return _fetch(what, hub_id, lambda: fetch_model(hub_id, revision))
    except EncoderError as error:
        if error.message.startswith(what):
            raise
        reason = type(error.__cause__ or error).__name__
        raise EncoderError(f"{what} cannot be had from the model hub ({reason})", base_model=hub_id) from error


def _fetch(what: str, hub_id: str, find: Callable[[], Path]) -> Path:
    from backend.base_model.download import telling_of_downloads

    prepare_hub()
    try:
        with telling_of_downloads(hub_id):
            return find()
    except EncoderError as error:
        why, hint = _explain(error.__cause__)
        if why:
            message = f"{what} cannot be had from the model hub: {why}"
            raise EncoderError(message, base_model=hub_id, hint=hint) from error
        raise


def prepare_hub() -> None:
    """Has the hub's client call by our routes, and never by its own compiled code."""
    from huggingface_hub import constants, set_client_factory

    set_client_factory(_open_client)
    # Its other way to download is compiled code, which knows neither our certificates nor our reading of no_proxy.
    constants.HF_HUB_DISABLE_XET = True


def _open_client() -> httpx2.Client:
    """The hub's own client over our routes. Its files come from other hosts, so that each call is looked at."""
    import httpx2
    from huggingface_hub.utils._http import hf_request_event_hook

    class Routes(httpx2.BaseTransport):
        """A transport a proxy."""

        def __init__(self) -> None:
            self.context, self.opened = context_of(read_trust()), dict[Proxy | None, httpx2.HTTPTransport]()

        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            proxy = proxy_for(str(request.url))
            if proxy not in self.opened:
                self.opened[proxy] = httpx2.HTTPTransport(
                    verify=self.context, trust_env=False, proxy=self.through(proxy)
                )
            return self.opened[proxy].handle_request(request)

        def through(self, proxy: Proxy | None) -> httpx2.Proxy | None:
            if proxy is None:
                return None
            secure = proxy.url.lower().startswith("https:")
            return httpx2.Proxy(proxy.url, ssl_context=self.context if secure else None)

        def close(self) -> None:
            for transport in self.opened.values():
                transport.close()

    hooks: dict[str, list[Any]] = {"request": [hf_request_event_hook]}  # HF_HUB_OFFLINE, and the id of a request
    options: dict[str, Any] = {"follow_redirects": True, "timeout": STEP_SECONDS}
    return httpx2.Client(transport=Routes(), trust_env=False, event_hooks=hooks, **options)


def _explain(error: BaseException | None) -> tuple[str, str]:
    """(when the way to the hub or a setting about it is the reason, and what to do); else ""."""
    import httpx2

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, SettingsError):
            return seen.message, str(seen.evidence.get("hint", ""))
        if isinstance(seen, httpx2.TransportError) and (url := _url_of(seen)):
            away = f"{url} is not reached ({seen or type(seen).__name__}); without network give a directory"
            return failure(
                seen, url, proxy_for(url)
            ) or away, "let this machine reach the hub, or set BASE_MODEL to a directory"
        seen = seen.__cause__ or seen.__context__
    return "", ""


def _url_of(error: httpx2.TransportError) -> str:
    try:
        return str(error.request.url.copy_with(path="/", query=None))
    except RuntimeError:  # it was raised before there was a request
        return ""
