"""Log in to the model page with the admin token or a link, and out again."""

from __future__ import annotations

import hmac

from flask import Blueprint, Response, g, request

from backend.admin_json import LoginLink
from backend.errors import NotFound
from backend.routes.ui.replies import frame, go, page
from backend.store.admin.logins import LINK_SECONDS
from backend.ui.assets import assets
from backend.ui.session import FORM_SECONDS
from backend.web.browser import CSRF_FIELD, PAGES, cookie_name, is_page, set_cookie
from backend.web.payloads import reply, services

blueprint = Blueprint("login", __name__)

FORM = "form"
"""Purpose of the cookie that goes with the login form."""

KEPT_SECONDS = 365 * 24 * 3600
"""A file's address changes with its content."""


@blueprint.get("/ui/static/<file>")
def static(file: str) -> Response:
    """Style, script and picture of the page."""
    return _serve(file)


@blueprint.get("/ui/static/vendor/<file>")
def vendored(file: str) -> Response:
    """The same by others."""
    return _serve(f"vendor/{file}")


def _serve(name: str) -> Response:
    asset = assets().get(name)
    if asset is None:
        raise NotFound("there is no such file")
    answer = Response(asset.data, content_type=asset.media)
    answer.cache_control.public, answer.cache_control.max_age = True, KEPT_SECONDS
    answer.cache_control.immutable = True
    return answer


@blueprint.get("/ui/login")
def form() -> Response:
    """The form; filled in by a link of `understudy ui`."""
    return _show_form(request.args.get("code", ""), request.args.get("next", ""))


@blueprint.post("/ui/login")
def log_in() -> Response:
    """Begin a session: `token` is the admin token, or `code` that of a link."""
    wired, given, target = services(), request.form, request.form.get("next", "")
    sent = request.cookies.get(cookie_name(wired, FORM), "")
    if not wired.sessions.is_form_token(sent, given.get(CSRF_FIELD, "")):
        return _show_form("", target, "The form was too old, or cookies are switched off: try again.", 403)
    if code := given.get("code", ""):
        if not wired.stores.logins.use_link(code):
            message = "The link was used already, or is older than a minute: run `understudy ui` again."
            return _show_form("", target, message, 401)
    elif not _is_token(given.get("token", ""), wired.admin_token):
        return _show_form("", target, "This is not the admin token.", 401)
    _, cookie = wired.sessions.begin()
    answer = go(_inside(target) or PAGES)
    set_cookie(wired, request, answer, "session", cookie, wired.sessions.seconds)
    set_cookie(wired, request, answer, FORM, "", 0)
    return answer


@blueprint.post("/ui/logout")
def log_out() -> Response:
    """End the session, here and for every copy of its cookie."""
    session = g.get("session")
    if session is not None:
        services().stores.logins.end(session.id, services().sessions.seconds)
    answer = go("/ui/login")
    set_cookie(services(), request, answer, "session", "", 0)
    return answer


@blueprint.post("/admin/login-link")
def link() -> Response:
    """A link that logs a browser in, once."""
    code = services().stores.logins.create_link()
    link: LoginLink = {"path": f"/ui/login?code={code}", "seconds": LINK_SECONDS}
    return reply(link, 201)


def _show_form(code: str, target: str, error: str = "", status: int = 200) -> Response:
    wired = services()
    cookie, token = wired.sessions.form_token()
    place = "ADMIN_TOKEN" if wired.settings.admin_token.get_secret_value() else "the file admin_token in DATA_DIR"
    answer = page(
        "login.html",
        frame("Log in"),
        form_token=token,
        code=code[:200],
        target=_inside(target),
        token_place=place,
        error=error,
    )
    answer.status_code = status
    set_cookie(wired, request, answer, FORM, cookie, FORM_SECONDS)
    return answer


def _is_token(given: str, wanted: str) -> bool:
    """In constant time."""
    return hmac.compare_digest(given.strip().encode("utf-8", "backslashreplace"), wanted.encode())


def _inside(path: str) -> str:
    """A path of the model page, "" for anything else: nobody is sent to another site after logging in."""
    plain = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path[:300] if plain and is_page(path.partition("?")[0]) and ".." not in path else ""
