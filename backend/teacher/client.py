"""One question to the teacher: a POST in OpenAI's chat format, whose answer may be anything.

It has a time limit as a whole, is read up to a limit, follows no redirect (the key would go along), and what goes wrong
is one of three errors. Their messages repeat nothing of what was sent or answered."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self
from urllib.parse import urlsplit

from backend.errors import SettingsError, TeacherAnswerBad, TeacherRefused, TeacherUnavailable
from backend.outbound.clients import OTHER_CA, open_httpx, refusal
from backend.outbound.cut_off import CutOff
from backend.outbound.proxies import proxy_for
from backend.settings.settings import Settings

if TYPE_CHECKING:
    from model.spec import Json, JsonObject

CONNECT_SECONDS = 5.0
WHOLE_SECONDS = 60.0
"""Of one question. A small model on a CPU takes half of that for a long text."""

LARGEST_ANSWER = 1 << 20
"""Bytes."""

ANSWER_TOKENS, THINKING_TOKENS = 600, 2000
UNKNOWN_FIELD = (400, 422)
"""Statuses of a server that does not know a field of what it was asked."""

LONGEST_PAUSE_SECONDS = 3600.0
"""That it may ask for with Retry-After."""

PATH = "/chat/completions"


@dataclass(frozen=True)
class Reply:
    """`content`: what the model said; `tokens`: its parts with their log-probabilities, () where it gives none;
    `asked` and `answered`: tokens as the teacher counts them, 0 where it does not say."""

    content: str
    tokens: tuple[tuple[str, float], ...] = ()
    asked: int = 0
    answered: int = 0


def address_of(url: str) -> str:
    """TEACHER_URL with the path of the chat; it may be there already."""
    return url if urlsplit(url).path.rstrip("/").endswith(PATH) else url.rstrip("/") + PATH


class TeacherClient:
    """Keeps one connection. Not for several threads."""

    def __init__(self, settings: Settings, seconds: float = WHOLE_SECONDS) -> None:
        import httpx2

        key = settings.teacher_key.get_secret_value()
        headers = {"User-Agent": "understudy", "Accept": "application/json", "Accept-Encoding": "identity"}
        headers |= {"Authorization": f"Bearer {key}"} if key else {}
        self.url, self.model, self._seconds = address_of(settings.teacher_url), settings.teacher_model, seconds
        timeout = httpx2.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))
        self._client = open_httpx(self.url, "", timeout=timeout, headers=headers)
        self._cut_off = CutOff()
        self._form = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def ask(self, messages: Sequence[Mapping[str, str]]) -> Reply:
        """One answer. Raises TeacherUnavailable, TeacherRefused or TeacherAnswerBad.

        A teacher that does not know a field, such as JSON mode, is asked without it from then on."""
        forms, over = self._forms(messages), time.monotonic() + self._seconds
        for form in range(self._form, len(forms)):
            status, pause, text = self._post(forms[form], over)
            if status not in UNKNOWN_FIELD:
                self._form = form
                break
        _check(status, pause)
        return read_reply(text)

    def _forms(self, messages: Sequence[Mapping[str, str]]) -> tuple[JsonObject, ...]:
        """The question in the forms that servers know: with JSON mode and log-probabilities, without, and as OpenAI's
        models that think first want it."""
        asked: JsonObject = {"model": self.model, "messages": [dict(one) for one in messages], "stream": False}
        plain: JsonObject = {**asked, "temperature": 0, "max_tokens": ANSWER_TOKENS}
        extras: JsonObject = {"response_format": {"type": "json_object"}, "logprobs": True}
        return {**plain, **extras}, plain, {**asked, "max_completion_tokens": THINKING_TOKENS}

    def _post(self, body: JsonObject, over: float) -> tuple[int, float, bytes]:
        """Status, seconds that Retry-After asks for, and the body. `over`: when it is cut off."""
        import httpx2

        try:
            with (
                self._cut_off.within(max(0.0, over - time.monotonic())) as trace,
                self._client.stream("POST", self.url, json=body, extensions={"trace": trace}) as reply,
            ):
                pause = _pause_of(reply.headers.get("retry-after", ""))
                if not 200 <= reply.status_code < 300:
                    return reply.status_code, pause, b""
                whole = bytearray()
                for part in reply.iter_raw():
                    whole += part
                    if len(whole) > LARGEST_ANSWER:
                        raise TeacherAnswerBad(f"the teacher's answer is longer than {LARGEST_ANSWER >> 20} MiB")
                if time.monotonic() >= over:  # the end of what was cut off looks like any other
                    raise httpx2.ReadTimeout("cut off")
                return reply.status_code, pause, bytes(whole)
        except SettingsError as error:  # a proxy or a file of authorities
            raise TeacherRefused(error.message) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, UnicodeError) as error:
            if told := refusal(error, self.url, setting=OTHER_CA):
                raise TeacherRefused(": ".join(told)) from None
            proxy = proxy_for(self.url)
            way = f" through the proxy {proxy.shown}" if proxy else ""
            what = f"no whole answer in {self._seconds:.0f} s, or none at all ({type(error).__name__})"
            raise TeacherUnavailable(f"the teacher cannot be asked{way}: {what}", pause=0.0) from None


REFUSALS = {
    401: "it does not take the key: check TEACHER_KEY",
    402: "it wants to be paid: see to the account of TEACHER_KEY",
    403: "it does not allow this key that: check TEACHER_KEY",
    404: "there is no such path or model: check TEACHER_URL and TEACHER_MODEL",
    413: "a text is too long for it: another TEACHER_MODEL reads more",
}


def _check(status: int, pause: float) -> None:
    """Raises what a status says."""
    if 200 <= status < 300:
        return
    if status >= 500 or status in (408, 425, 429):
        what = "it is asked too often" if status == 429 else f"it answers {status}"
        raise TeacherUnavailable(f"the teacher cannot be asked: {what}", pause=pause)
    moved = f"it redirects ({status}), which is not followed: set TEACHER_URL to where it leads"
    said = moved if 300 <= status < 400 else REFUSALS.get(status, f"it answers {status}")
    raise TeacherRefused(f"the teacher refuses: {said}", status=status)


def _pause_of(text: str) -> float:
    """Seconds; 0 for a date, or what cannot be read: the usual wait will do."""
    try:
        seconds = float(text or 0)
    except ValueError:
        return 0.0
    return min(max(seconds, 0.0), LONGEST_PAUSE_SECONDS) if math.isfinite(seconds) else 0.0


def read_reply(text: bytes) -> Reply:
    """The body of a chat completion. Raises TeacherAnswerBad for anything else."""
    try:
        data = json.loads(text)
        choice = data["choices"][0]
        content = choice["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise TeacherAnswerBad("the teacher's answer is no chat completion in JSON") from None
    if not isinstance(content, str):
        raise TeacherAnswerBad("the teacher's answer holds no text")
    usage = data.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    return Reply(content, _tokens(choice), _count(counts.get("prompt_tokens")), _count(counts.get("completion_tokens")))


def _count(value: Json) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40 else 0


class _Choice(Protocol):
    def get(self, name: str, /) -> Json: ...


def _tokens(choice: _Choice) -> tuple[tuple[str, float], ...]:
    """The parts of the answer with log-probabilities; () where one of them cannot be used."""
    given = choice.get("logprobs")
    parts = given.get("content") if isinstance(given, dict) else None
    found = []
    for part in parts if isinstance(parts, list) else ():
        text = part.get("token") if isinstance(part, dict) else None
        value = part.get("logprob") if isinstance(part, dict) else None
        if not isinstance(text, str) or isinstance(value, bool) or not isinstance(value, int | float):
            return ()
        if not math.isfinite(value) or value > 0:
            return ()
        found.append((text, float(value)))
    return tuple(found)
