"""Has a teacher asked about a project's texts: what it would cost, that it begins, how far it is, that it stops."""

from __future__ import annotations

from urllib.parse import urlsplit

from backend.admin_json import Order
from backend.errors import BadRequest, Conflict, NotFound
from backend.labelstudio.task_spec import parse_label_config
from backend.outcomes import FINAL_STATES, JobOutcome
from backend.record_json import TeacherAnswer, TeacherCost, TeacherRun
from backend.settings.settings import Settings
from backend.store.stores import Stores
from backend.store.work.teachings import Teaching, seconds_left
from backend.teacher.prompt import OUTPUT_TOKENS, asked_of, build_messages, count_tokens, key_of
from model.spec import Json, TaskSpec

SAMPLED_TEXTS = 200
"""Texts whose tokens are estimated, drawn at random; the others are taken to be like them."""


def describe_teacher(stores: Stores, settings: Settings, project: int) -> TeacherAnswer:
    """Whether there is a teacher, and how the last run fares. Raises StoreUnavailable."""
    answer: TeacherAnswer = {"host": host_of(settings), "model": settings.teacher_model, "run": None}
    record = stores.teachings.find(project)
    if record is not None:
        run: TeacherRun = {
            "id": record["id"],
            "status": record["status"],
            "step": record["next"],
            "of": len(record["tasks"]) if record["tasks"] is not None else record["texts"],
            "answered": record["answered"],
            "bad": record["bad"],
            "requests": record["requests"],
            "tokens": record["tokens"],
            "message": record["message"],
            "error": record["error"],
            "retry_in": seconds_left(record) if is_running(record) else 0.0,
        }
        if settings.teacher_price:
            run["money"] = _money(settings, record["tokens"])
        answer["run"] = run
        if kept := stores.projects.summary(project).get("teacher"):
            answer["kept"] = dict(kept)
    return answer


def is_running(record: Teaching) -> bool:
    """Whether a run is not over."""
    return record["status"] not in FINAL_STATES


def host_of(settings: Settings) -> str:
    """Where texts would go; "" without a teacher."""
    return urlsplit(settings.teacher_url).netloc if settings.teacher_url else ""


def estimate(
    stores: Stores, settings: Settings, project: int, wanted: Json, sampled: int = SAMPLED_TEXTS
) -> TeacherCost:
    """What a run would ask and cost, by `sampled` texts; asks nobody. Raises Conflict, BadRequest and
    StoreUnavailable."""
    spec, texts = _spec(stores, settings, project), _texts(settings, wanted)
    sample = stores.projects.sample_pool(project, sampled)
    count = min(texts, stores.projects.pool_size(project))
    known = stores.teachings.answers(project, [key_of(spec, one, settings.teacher_model) for one in sample])
    each = [count_tokens(build_messages(spec, one)) + OUTPUT_TOKENS * len(asked_of(spec)) for one in sample]
    mean = sum(each) / max(1, len(each))
    requests = round(count * (1 - len(known) / max(1, len(sample)))) if sample else 0
    tokens = round(requests * mean)
    cost: TeacherCost = {
        "requests": requests,
        "tokens": tokens,
        "questions": [control.name for control in asked_of(spec)],
    }
    if settings.teacher_price:
        cost["money"] = _money(settings, tokens)
    return cost


def _money(settings: Settings, tokens: int) -> float:
    return round(tokens / 1e6 * settings.teacher_price, 4)


def begin(stores: Stores, settings: Settings, project: int, wanted: Json, by: str) -> TeacherAnswer:
    """Begin a run. Raises BadRequest, Conflict without a teacher or while one runs, and StoreUnavailable."""
    _spec(stores, settings, project)
    _, created = stores.teachings.request(project, by, settings.teacher_model, _texts(settings, wanted))
    if not created:
        raise Conflict(f"the teacher is being asked already: `understudy teach {project} --stop` ends that")
    return describe_teacher(stores, settings, project)


def stop(stores: Stores, project: int, *, forget: bool = False) -> Order:
    """End the run; what was answered stays, unless it is to be forgotten. Raises NotFound and StoreUnavailable."""
    record = stores.teachings.find(project)
    if record is None:
        raise NotFound(f"project {project} has no teacher")
    ended = stores.teachings.finish(project, record["id"], JobOutcome.CANCELLED, "stopped by an admin")
    if forget:
        stores.teachings.forget(project, record["id"])
        stores.jobs.enqueue_refit(project)
        return {"message": "stopped, and what the teacher said is forgotten: the next version does without it"}
    return {"message": "stopped; what was answered stays" if ended else "nothing runs; what was answered stays"}


def _spec(stores: Stores, settings: Settings, project: int) -> TaskSpec:
    """Raises Conflict without a teacher, BadRequest for a config that asks nothing it can be asked."""
    if not settings.teacher_url:
        raise Conflict("TEACHER_URL is not set: there is nobody to ask (docs/teacher.md)", setting="TEACHER_URL")
    if not settings.teacher_model:
        raise Conflict("TEACHER_MODEL is not set: which model is to be asked?", setting="TEACHER_MODEL")
    spec = parse_label_config(stores.projects.config(project))
    if not asked_of(spec):
        raise BadRequest("the label config asks nothing that a teacher can be asked (docs/teacher.md)")
    return spec


def read_count(text: str) -> int:
    """A number in a query. Raises BadRequest."""
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise BadRequest("texts: a whole number is needed", field="texts")
    return int(text)


def _texts(settings: Settings, wanted: Json) -> int:
    """Of a run; 0: as many as may be. Raises BadRequest."""
    texts = wanted or settings.teacher_texts
    if not isinstance(texts, int) or isinstance(texts, bool) or not 1 <= texts <= settings.teacher_texts:
        raise BadRequest(f"texts: a whole number up to TEACHER_TEXTS, {settings.teacher_texts}", field="texts")
    return texts
