"""What the admin API answers about a project's encoder, and about its way to another one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NotRequired, TypedDict

from model.spec import Json, JsonObject


class TrustedJson(TypedDict):
    """`files`: digest of what a name gave first, or what people took since; `at`: when, in epoch seconds; `changed`:
    host -> what it gives there instead."""

    files: str
    at: float
    changed: dict[str, str]


@dataclass(frozen=True)
class EncoderSource:
    """What an encoder is, for a machine that has never used it. `base_model`: the setting; `directory`: where its files
    lay on `host`; `hub_id`, `revision`: "" for one that is not from the hub; `pooling`, `prefix`, `window`: how it was
    read; `files`: sha256 over weights, config and tokenizer; `place`: what should give the same files each time, a name
    on the hub (of a preset with its revision) or a directory."""

    base_model: str
    directory: str
    hub_id: str
    revision: str
    pooling: str
    prefix: str
    window: int
    files: str
    place: str
    host: str

    @property
    def name(self) -> str:
        """What it is called: `intfloat/multilingual-e5-small@fd1525a9fd15`, or the setting."""
        return f"{self.hub_id}@{self.revision[:12]}" if self.hub_id else self.base_model or "english-small"

    def to_json(self) -> JsonObject:
        """As it is stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, entry: Json) -> EncoderSource | None:
        """None for what another release has stored, or cannot be read."""
        try:
            own = dict(entry) if isinstance(entry, dict) else {}
            texts = {name: str(own.pop(name)) for name in cls.__annotations__ if name != "window"}
            return cls(**texts, window=int(str(own["window"])))
        except (KeyError, ValueError):
            return None


class EncoderAnswer(TypedDict):
    """`base_model`: what BASE_MODEL is; `live`: the version that answers; `made_with`: the digest of its encoder, ""
    where its files are not on this machine; `wish`: take, keep or compare.

    Of the change that was last: `state` (encoding, refused, taken, given up; "": none yet), `digest` of the encoder
    that is gone to, `left` texts to be encoded, `labels` when it was compared, `reason`: what the comparison said,
    `gains`: points of accuracy by control (F1 of marked text) on labels held out, `cost`: the work of a text as a
    multiple of the former encoder's, `again_at`: with how many labels a refused one is compared again, `at`: epoch
    seconds."""

    base_model: str
    live: str
    made_with: str
    wish: str
    state: str
    digest: NotRequired[str]
    left: NotRequired[int]
    labels: NotRequired[int]
    reason: NotRequired[str]
    gains: NotRequired[dict[str, float]]
    cost: NotRequired[float]
    again_at: NotRequired[int]
    at: NotRequired[float]
    message: NotRequired[str]
