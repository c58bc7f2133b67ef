"""How far a project is on its way to the encoder that BASE_MODEL names, and what people want of it."""

from __future__ import annotations

from contextlib import suppress
from math import ceil

from backend.base_model.former import describe_cure, describe_lack, describe_source, live_digest
from backend.base_model.hub import find_encoder_files
from backend.encoder_json import EncoderAnswer
from backend.errors import BadRequest
from backend.settings.settings import Settings
from backend.store.stores import Stores
from backend.store.work.encoder_changes import RETRY_GROWTH, RETRY_LABELS, EncoderChanges, Wish
from backend.store.work.known_encoders import CHANGED, REMEDY
from model.errors import ModelError
from model.spec import Json

SAID = {
    Wish.TAKE: "the encoder of BASE_MODEL is taken without a comparison, once the labelled texts are encoded",
    Wish.KEEP: "the encoder of the live version stays, whatever BASE_MODEL names",
    Wish.COMPARE: "the encoder of BASE_MODEL is taken unless the comparison finds it worse",
}


def describe_encoder(stores: Stores, settings: Settings, project: int) -> EncoderAnswer:
    """The comparison as it stands. Raises StoreUnavailable."""
    changes, live = EncoderChanges(stores.client), stores.versions.live(project) or ""
    change = changes.read(project)
    answer: EncoderAnswer = {
        "base_model": settings.base_model or "english-small",
        "live": live,
        "made_with": live_digest(settings, project, live),
        "wish": changes.wish(project).value,
        "state": change.get("state", ""),
    }
    if not change:
        return answer
    answer["digest"], answer["at"] = change["digest"], change["at"]
    if "left" in change:
        answer["left"] = change["left"]
    if "labels" in change:
        answer["labels"], answer["reason"] = change["labels"], change["reason"]
    if "gains" in change:
        answer["gains"], answer["cost"] = change["gains"], change["cost"]
    if answer["state"] == "refused":
        answer["again_at"] = ceil(RETRY_GROWTH * change["labels"] + RETRY_LABELS)
    return answer


def choose_encoder(stores: Stores, settings: Settings, project: int, wanted: Json) -> EncoderAnswer:
    """Decides, and lets the learner act on it. Raises BadRequest and StoreUnavailable."""
    try:
        wish = Wish(str(wanted))
    except ValueError as error:
        raise BadRequest("wish: take, keep or compare is needed", field="wish") from error
    EncoderChanges(stores.client).choose(project, wish)
    if wish is Wish.TAKE:
        _trust(stores, settings)
    stores.jobs.enqueue_refit(project)
    answer = describe_encoder(stores, settings, project)
    pinned = stores.versions.pinned(project)
    waits = f"; not before `understudy unpin {project}`: {pinned} is pinned" if pinned and wish is not Wish.KEEP else ""
    answer["message"] = f"project {project}: {SAID[wish]}{waits}"
    return answer


def describe_lacks(stores: Stores, settings: Settings, project: int) -> dict[str, str]:
    """What is told of machines that lack the encoder of the live version, and of names that give other files than at
    first: {} where all is well. Raises StoreUnavailable."""
    known, found = stores.versions.encoders, {}
    if changed := known.changed():
        found["trust in the encoder"] = f"{CHANGED}: {'; '.join(changed)}: {REMEDY}"
    if unusable := known.unusable():
        found["BASE_MODEL"] = "; ".join(unusable)
    digest = live_digest(settings, project, stores.versions.live(project))
    if digest and (hosts := known.missing_on(digest)):
        source = known.find(digest)
        found["former encoder"] = f"{describe_lack(hosts, digest, source)}: {describe_cure(project, source)}"
    return found


def _trust(stores: Stores, settings: Settings) -> None:
    """Whoever takes an encoder takes the files that it has."""
    with suppress(ModelError, OSError):
        stores.versions.encoders.trust(describe_source(settings.base_model, find_encoder_files(settings)))
