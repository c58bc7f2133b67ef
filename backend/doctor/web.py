"""The web process: from this machine, and at the URL that Label Studio uses."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from backend.addresses.host import EVERYWHERE, is_loopback
from backend.client.admin import local_url
from backend.doctor.verdict import Verdict, fail, ok, skipped, warn
from backend.errors import SettingsError
from backend.settings.settings import Settings
from model.spec import Json

HEALTH_SECONDS = 3.0
"""Label Studio gives /health one second."""

Answer = tuple[int, Json]
"""HTTP status and JSON; status 0 and the reason when nothing answers."""

UNASKED_STATUS = -1
"""In the place of the status: a proxy or a certificate of the settings cannot be used; with what is wrong."""


def check_web(settings: Settings) -> Iterator[Verdict]:
    """Health, readiness and protection."""
    local = ask(settings, f"{local_url(settings)}/health")
    public = local if settings.url == local_url(settings) else ask(settings, f"{settings.url}/health")
    yield from judge_answers(settings, local, public)
    best = settings.url if public[0] == 200 else local_url(settings)
    if 200 in (local[0], public[0]):
        yield judge_ready(ask(settings, f"{best}/ready"))
        yield judge_events(ask(settings, f"{best}/metrics"), time.time())
    yield judge_protection(settings)


def ask(settings: Settings, url: str) -> Answer:
    """GET with basic auth, as Label Studio asks."""
    import requests

    from backend.outbound.clients import failure, open_session, route_of

    try:
        with open_session(settings, url) as session:
            reply = session.get(url, auth=settings.basic_auth, timeout=HEALTH_SECONDS)
    except SettingsError as error:
        return UNASKED_STATUS, error.message
    except requests.RequestException as error:
        return 0, failure(error, url, route_of(settings, url)) or type(error).__name__
    try:
        return reply.status_code, reply.json()
    except ValueError:
        return reply.status_code, reply.text


def judge_answers(settings: Settings, local: Answer, public: Answer) -> Iterator[Verdict]:
    """`local`: what answers on this machine; `public`: at PUBLIC_URL."""
    url = settings.url
    if is_understudy(public):
        yield ok("web", f"answers at {url}")
    elif is_understudy(local):
        evidence = f"answers at {local_url(settings)}, but at {url}: {shown(public)}"
        remedy = "if Label Studio cannot reach it there either, set PUBLIC_URL to an address that it can"
        if public[0] == UNASKED_STATUS:
            remedy = "mend that setting, or add the host of PUBLIC_URL to no_proxy"
        yield warn("web", evidence, remedy)
    elif 401 in (local[0], public[0]):
        remedy = "start it anew with the BASIC_AUTH_USER and BASIC_AUTH_PASS that are set here"
        yield fail("web", f"{url} refuses BASIC_AUTH_USER and BASIC_AUTH_PASS", remedy)
    else:
        yield fail("web", f"{url}: {shown(public)}", "start it with `understudy up`, or set HOST, PORT and PUBLIC_URL")


def is_understudy(answer: Answer) -> bool:
    """Whether it is one of us that answers."""
    status, body = answer
    return status == 200 and isinstance(body, dict) and body.get("model_class") == "understudy"


def shown(answer: Answer) -> str:
    """An unwanted answer in a few words."""
    status, body = answer
    if status == UNASKED_STATUS:
        return f"not asked: {body}"
    if not status:
        return f"nothing answers ({body})"
    return f"something else answers ({status})" if status == 200 else f"HTTP {status}"


def judge_ready(answer: Answer) -> Verdict:
    """Whether models serve, and the right ones."""
    status, body = answer
    if status != 200 or not isinstance(body, dict):
        reason = body.get("reason", "") if isinstance(body, dict) else ""
        return warn("models", f"do not serve yet: {reason}", "wait; if it stays so, see the log of `web`")
    if isinstance(stale := body.get("stale"), Mapping) and stale:
        why = "; ".join(f"{name}: {reason}" for name, reason in stale.items())
        return fail(
            "models", f"not loadable: {why}", "`understudy rollback PROJECT VERSION`, or label on: a refit replaces it"
        )
    return ok("models", "serve")


def judge_events(answer: Answer, now: float) -> Verdict:
    """When Label Studio last sent an event, of any project, and how many were refused."""
    name, (status, text) = "events", answer
    if status != 200:
        return skipped(name, f"/metrics: {shown(answer)}")
    found = dict(
        re.findall(r"^(understudy_last_event_timestamp_seconds|process_start_time_seconds) (\S+)$", str(text), re.M)
    )
    refused = sum(map(float, re.findall(r"^understudy_webhook_refused_total\{[^}]*\} (\S+)$", str(text), re.M)))
    last = float(found.get("understudy_last_event_timestamp_seconds", 0))
    started = float(found.get("process_start_time_seconds", now))
    seen = f"last one {(now - last) / 60:.0f} minutes ago" if last else f"none for {(now - started) / 60:.0f} minutes"
    if refused:
        return warn(
            name,
            f"{seen}; {refused:.0f} refused since the start",
            "the log of `web` says why; then `understudy resync`",
        )
    return ok(name, seen) if last else skipped(name, f"{seen}, since `web` was started")


def judge_protection(settings: Settings) -> Verdict:
    """Whether others may call as well."""
    host = urlsplit(settings.url).hostname or ""
    inside = settings.host not in EVERYWHERE and is_loopback(settings.host)
    has_user, has_password = bool(settings.basic_auth_user), bool(settings.basic_auth_pass.get_secret_value())
    if has_user != has_password:
        here, lacking = ("USER", "PASS") if has_user else ("PASS", "USER")
        effect = "an empty password is the right one" if has_user else "nobody is asked to log in"
        told = f"BASIC_AUTH_{here} is set and BASIC_AUTH_{lacking} is not: {effect}"
        return warn("protection", told, f"set BASIC_AUTH_{lacking}, too, then `understudy connect --project ID` again")
    if has_user:
        return ok("protection", "basic auth for Label Studio, a secret for its webhooks, a token for admins")
    if inside:
        return ok("protection", f"listens on {settings.host} only")
    remedy = "set BASIC_AUTH_USER and BASIC_AUTH_PASS, then `understudy connect --project ID` again"
    return warn("protection", f"whoever reaches {host or settings.host} can ask and add labels", remedy)
