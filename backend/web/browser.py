"""Browsers at the door of the model page: the session cookie, the tokens of forms, and who is sent to log in."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from flask import Request, Response

from backend.application.services import Services
from backend.errors import BackendError, Forbidden, Unauthorized
from backend.ui.assets import assets
from backend.ui.page import Frame
from backend.ui.render import render
from backend.ui.session import Session
from backend.web.url_paths import prefix_of

CSRF_FIELD, CSRF_HEADER = "csrf_token", "X-CSRF-Token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

PAGES = "/ui"
"""Where the model page begins."""

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
}
"""On every page, over those of all replies: nothing inline, nothing from elsewhere. `data:`: the small pictures that
the style sheet holds. With no-referrer a browser would send our own forms with `Origin: null`."""


def cookie_name(services: Services, purpose: str = "session") -> str:
    """Cookies know no ports: two installations on one host would take each other's."""
    return f"understudy_{purpose}_{services.settings.port}"


def session_of(services: Services, request: Request) -> Session | None:
    """The login of the browser; None without one. Raises StoreUnavailable: who logged out is written there."""
    session = services.sessions.read(request.cookies.get(cookie_name(services), ""))
    return None if session is None or services.stores.logins.is_ended(session.id) else session


def check_browser(services: Services, request: Request) -> Session:
    """The session, with the token of its forms where something is changed. Raises Unauthorized or Forbidden."""
    session = session_of(services, request)
    if session is None:
        raise Unauthorized("log in first: the session has ended, or there was none", challenge="", login=True)
    if request.method not in SAFE_METHODS:
        token = request.headers.get(CSRF_HEADER) or request.form.get(CSRF_FIELD, "")
        if not services.sessions.is_csrf_token(session, token):
            raise Forbidden("csrf_token: it is missing, or of another session; load the page anew")
    return session


def set_cookie(services: Services, request: Request, reply: Response, purpose: str, value: str, seconds: int) -> None:
    """Seen by no script and sent by no other site's page; over https by nothing else. `seconds` 0 takes it away."""
    reply.set_cookie(
        cookie_name(services, purpose),
        value,
        max_age=seconds,
        path="/",
        secure=is_https(services, request),
        httponly=True,
        samesite="Strict",
    )


def is_https(services: Services, request: Request) -> bool:
    """Whether the browser came over https: to us, to a proxy that says so, or to PUBLIC_URL when that is https."""
    if request.is_secure or request.headers.get("X-Forwarded-Proto", "").split(",")[0].strip().lower() == "https":
        return True
    public = urlsplit(services.settings.url)
    return public.scheme == "https" and public.netloc == request.host


def is_page(path: str) -> bool:
    """Whether a path is one of the model page."""
    return path == PAGES or path.startswith(f"{PAGES}/")


def wants_page(request: Request) -> bool:
    """Whether the caller is to be answered with HTML: not where the JSON twin was asked for."""
    return is_page(request.path) and not request.path.endswith(".json")


def is_partial(request: Request) -> bool:
    """Whether a script of ours asks for a part of a page."""
    return request.headers.get("HX-Request") == "true"


def refuse_page(services: Services, request: Request, error: BackendError) -> Response:
    """An error as a browser is shown it: sent to log in, a sentence in the page that is open, or a page of its own."""
    prefix, partial = prefix_of(services.settings.url), is_partial(request)
    if error.evidence.get("login"):
        back = quote(request.full_path.rstrip("?") if request.method in SAFE_METHODS and not partial else "", safe="/")
        target = f"{prefix}{PAGES}/login" + (f"?next={back}" if back not in ("", PAGES) else "")
        headers = {"HX-Redirect": target} if partial else {"Location": target}
        return Response(status=401 if partial else 303, headers=headers)
    digests = {name: asset.digest for name, asset in assets().items()}
    framed = Frame(prefix, "Error", "", digests)
    text = render("refused.html" if partial else "error.html", frame=framed, layout="page.html", error=error)
    answer = Response(text, status=error.status, mimetype="text/html")
    if error.evidence.get("retry_after"):
        answer.headers["Retry-After"] = str(error.evidence["retry_after"])
    return answer
