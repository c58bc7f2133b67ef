"""Replies of the model page: whole pages, parts of them, and what a button came to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from flask import Response, current_app, g, redirect, request

from backend.application.services import Services
from backend.routes.ui.reader import give_way, read
from backend.ui.assets import assets
from backend.ui.charts.gallery import Gallery
from backend.ui.fragments import Fragments, Key
from backend.ui.page import Frame
from backend.ui.render import render
from backend.ui.views.errors import WhyCache
from backend.ui.views.projects import FigureCache
from backend.web.browser import is_partial
from backend.web.payloads import services
from backend.web.url_paths import prefix_of

REFRESH = "understudy:refresh"
"""Event that makes the page ask for its part at once."""


def frame(title: str, news: str = "", tab: str = "", project: int | None = None) -> Frame:
    """The frame of a page for this request."""
    session = g.get("session")
    token = services().sessions.csrf_token(session) if session is not None else ""
    digests = {name: asset.digest for name, asset in assets().items()}
    settings = services().settings
    return Frame(prefix_of(settings.url), title, token, digests, news, tab, project, settings.ui_people)


def page(template: str, framed: Frame, **values: object) -> Response:
    """The template as a whole page, or only its part where our script asks for that."""
    return _answer(framed, _make(template, framed, values))


def shown(template: str, framed: Frame, view: Callable[[Services], object]) -> Response:
    """The same of what is asked for every two seconds: those who ask for a part of the same address at the same news
    get the same bytes, which hold nothing of a session."""
    if not is_partial(request):
        return _answer(framed, _view(template, framed, view))
    common = replace(framed, csrf_token="")
    key = Key(request.full_path, framed.news)
    return _answer(framed, fragments().get(key, lambda: _view(template, common, view)))


def _view(template: str, framed: Frame, view: Callable[[Services], object]) -> bytes:
    def look(wired: Services) -> tuple[str, object]:
        named = framed.title or wired.stores.projects.title(framed.project or 0) or f"Project {framed.project}"
        return named, view(wired)

    title, found = read(look)
    return _make(template, replace(framed, title=title), {"view": found})


def _make(template: str, framed: Frame, values: Mapping[str, object]) -> bytes:
    whole = "part.html" if is_partial(request) else "page.html"
    text = render(template, give_way, frame=framed, layout=whole, charts=Gallery(), **values)
    return text.encode("utf-8", "replace")  # a text may hold a lone surrogate


def _answer(framed: Frame, made: bytes) -> Response:
    answer = Response(made, mimetype="text/html")
    answer.headers["Vary"] = "HX-Request"
    if framed.news:
        answer.set_etag(framed.news, weak=True)
    return answer


def no_news(news: str) -> Response | None:
    """304 for a caller that has just that; None for one that has not."""
    if news and request.if_none_match.contains_weak(news):
        answer = Response(status=304)
        answer.set_etag(news, weak=True)
        return answer
    return None


def said(message: str, back: str) -> Response:
    """What a button came to: a sentence for the page that is open, which then asks for its news; without a script the
    page anew."""
    if not is_partial(request):
        return go(back)
    answer = Response(render("said.html", message=message), mimetype="text/html")
    answer.headers["HX-Trigger"] = REFRESH
    return answer


def go(path: str) -> Response:
    """To another page of ours."""
    target = f"{prefix_of(services().settings.url)}{path}"
    if is_partial(request):
        return Response(status=204, headers={"HX-Redirect": target})
    return redirect(target, 303)  # type: ignore[return-value]


def reasons() -> WhyCache:
    """Of this process."""
    found: WhyCache = current_app.extensions.setdefault("understudy_reasons", WhyCache())
    return found


def fragments() -> Fragments:
    """Of this process."""
    found: Fragments = current_app.extensions.setdefault("understudy_fragments", Fragments())
    return found


def figures() -> FigureCache:
    """Of this process."""
    found: FigureCache = current_app.extensions.setdefault("understudy_figures", FigureCache())
    return found
