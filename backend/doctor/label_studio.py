"""Label Studio as such: whether it answers, which kind of token we have, its release and its clock."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from backend.doctor.store import judge_clock
from backend.doctor.verdict import Verdict, fail, ok, skipped, warn
from backend.errors import LabelStudioError
from backend.labelstudio.local.installation import LABEL_STUDIO_VERSION
from backend.labelstudio.rest.client import LabelStudioClient
from backend.labelstudio.rest.token import read_claims, seconds_of
from backend.settings.settings import Settings

OLDEST_VERSION = (1, 18)
"""Older ones have known holes (CVE-2025-47783, CVE-2025-25296)."""

EXPIRES_SOON = 14 * 24 * 3600.0

Token = tuple[str, float | None]
"""Its kind, and when it expires (epoch seconds, None: not known)."""


def check_label_studio(settings: Settings, client: LabelStudioClient) -> Iterator[Verdict]:
    """Ends at the first check without which the others mean nothing."""
    token = read_token(settings.label_studio_api_key.get_secret_value())
    try:
        user = client.whoami()
    except LabelStudioError as error:
        yield refused(settings, token, error)
        return
    yield judge_token(token, str(user.get("email") or user.get("username") or "a user"), time.time())
    try:
        yield judge_release(client.version())
    except LabelStudioError as error:
        yield skipped("release of Label Studio", error.message)
    yield check_clock(settings)


def not_configured(settings: Settings) -> Verdict:
    """The row of a Label Studio that is not set."""
    missing = "LABEL_STUDIO_URL" if not settings.label_studio_url else "LABEL_STUDIO_API_KEY"
    remedy = "set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY (Label Studio: Account & Settings, personal access token)"
    return warn("label studio", f"{missing} is not set: a webhook that gets lost is not made up for", remedy)


def refused(settings: Settings, token: Token, error: LabelStudioError) -> Verdict:
    """Label Studio does not answer, or not to this token."""
    kind, status = token[0], error.evidence.get("status")
    if status is None:
        start = "start it, and check LABEL_STUDIO_URL from this machine"
        return fail("label studio", error.message, str(error.evidence.get("hint") or start))
    remedy = str(error.evidence.get("hint") or "make a new personal access token: Label Studio, Account & Settings")
    return fail("token of label studio", f"a {kind}: {error.message}", remedy)


def read_token(key: str) -> Token:
    """What kind of token it is, by its form: a personal access token is a JWT, a legacy one 40 hex digits."""
    if re.fullmatch(r"[0-9a-f]{40}", key):
        return "legacy token", None
    claims = read_claims(key)
    return (
        ("token of unknown kind", None) if claims is None else ("personal access token", seconds_of(claims.get("exp")))
    )


def judge_token(token: Token, user: str, now: float) -> Verdict:
    """A token that was accepted."""
    kind, expires = token
    name = "token of label studio"
    if expires is not None and expires - now < EXPIRES_SOON:
        remedy = "make a new one (Account & Settings), set LABEL_STUDIO_API_KEY, and start understudy anew"
        return warn(name, f"a {kind} of {user}, expires in {(expires - now) / 86400:.0f} days", remedy)
    if kind == "legacy token":
        remedy = "Label Studio 1.23 has them off by default: use a personal access token"
        return warn(name, f"a {kind} of {user}: accepted", remedy)
    return ok(name, f"a {kind} of {user}")


def judge_release(release: str) -> Verdict:
    """Which Label Studio this is."""
    name, number = "release of label studio", tuple(int(part) for part in re.findall(r"\d+", release)[:2])
    if not number:
        return skipped(name, "it does not say")
    if number < OLDEST_VERSION:
        return warn(
            name, f"{release}: has known security holes", f"upgrade to {LABEL_STUDIO_VERSION}, which is what is tested"
        )
    return ok(name, f"{release}; tested with {LABEL_STUDIO_VERSION}")


def check_clock(settings: Settings) -> Verdict:
    """By the Date header, which has whole seconds."""
    import requests

    from backend.outbound.clients import open_session

    url = settings.label_studio_url.rstrip("/")
    name = "clock of label studio"
    try:
        with open_session(settings, url, settings.label_studio_ca_file) as session:
            reply = session.get(f"{url}/health", timeout=10, allow_redirects=False)
        stamp = parsedate_to_datetime(reply.headers["Date"]).timestamp()
    except (requests.RequestException, KeyError, ValueError) as error:
        return skipped(name, f"no Date header: {type(error).__name__}")
    ahead = stamp + 0.5 - time.time()
    return judge_clock(name, 0.0 if abs(ahead) < 1.5 else ahead)
