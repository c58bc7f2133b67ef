"""What the admin API says of a project, in lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from backend.admin_json import (
    Advice,
    ControlAdvice,
    ControlMetrics,
    ControlPatterns,
    Forecast,
    ProjectAnswer,
    QueueAnswer,
)
from backend.record_json import ControlDuplicates, HuntsAnswer, HuntState, SyncRecord
from backend.rejects.report import describe_rejects
from backend.screen import plain

if TYPE_CHECKING:
    from model.evidence.anchoring_bias import Anchoring
    from model.evidence.auto_accept import DialJson
    from model.evidence.learning_curve import CurvePoint
    from model.evidence.marked_text import AboutFigures, MarkedFigures

QUARANTINED_SHOWN = 10
"""Labels that are listed."""

LABELS_SHOWN = 8
"""Labels whose F1 is told."""

COPYING_PER_CENT = 50
"""Width of the copying rate's interval, in points, above which the rate is not told."""

NAMES = {
    "refit": "learning",
    "train": "fine-tuning",
    "sync": "reconciling",
    "predict": "predicting",
    "files": "predicting files",
}


def render_background_work(entry: ProjectAnswer, now: float) -> Iterator[str]:
    """Lines about a project as the admin API describes it; `now` in epoch seconds."""
    if pinned := entry.get("pinned"):
        yield f"pinned: {pinned} answers until a retrain is accepted, or `understudy unpin {entry['id']}`"
    for kind, trouble in (entry.get("trouble") or {}).items():
        times = "once" if trouble["failures"] == 1 else f"{trouble['failures']} times in a row"
        later = f"; again in {trouble['retry_in']} s" if trouble.get("retry_in") else ""
        yield f"{NAMES.get(kind, kind)} failed {times}{later}: {trouble['error']}"
    if timed := entry.get("number_format"):
        yield f"number format, as timed on this machine: {timed}"
    if last := entry.get("last_sync") or {}:
        yield f"reconciled with Label Studio: {_render_last_sync(last, now, _are_lost(entry))}"
    if why := entry.get("dirty"):
        yield f"to be reconciled, since {why}"
    if language := entry.get("language"):
        yield language
    yield from describe_rejects(entry.get("rejects") or (), now)
    yield from describe_rejects(entry.get("refused") or (), now)
    for control, counts in (entry.get("quarantined") or {}).items():
        listed = ", ".join(f"{label} {count}" for label, count in list(counts.items())[:QUARANTINED_SHOWN])
        yield f"{control}: kept apart, since the label config does not have them: {listed}"


def _are_lost(entry: ProjectAnswer) -> bool:
    """Whether labels come to nothing, so that no line may say that all is well."""
    return any(reject["where"] == "labels" for reject in entry.get("rejects") or ())


def _render_last_sync(last: SyncRecord, now: float, lost: bool) -> str:
    if "ok_at" not in last:
        return f"never; {last.get('error', '')}"
    minutes = max(0.0, now - float(last["ok_at"])) / 60
    drift = int(last.get("drift", 0))
    whole = "nothing was missing" if not lost else "nothing was missing of what can be read, see below"
    mended = f"{drift} annotations were mended" if drift else whole
    mended += f", {last['unread']} cannot be read" if last.get("unread") else ""
    failed = f"; failed since: {last['error']}" if last.get("error") else ""
    return f"{minutes:.0f} minutes ago, {mended}{failed}"


def render_patterns(patterns: Mapping[str, ControlPatterns]) -> Iterator[str]:
    """A line a control: how many patterns of each label, and how often their matches were right."""
    for control, own in patterns.items():
        told = []
        for label, figures in own["labels"].items():
            tried = figures.get("tried", 0.0)
            fared = f" (right in {figures.get('right', 0.0) / tried:.0%} of {tried:g} matches)" if tried else ""
            told.append(f"{label} {figures['patterns']}{fared}")
        more = f", and {len(told) - LABELS_SHOWN} labels more" if len(told) > LABELS_SHOWN else ""
        yield f"{control}: patterns: {', '.join(told[:LABELS_SHOWN])}{more}"


def render_duplicates(duplicates: Mapping[str, ControlDuplicates]) -> Iterator[str]:
    """A line a control that has labelled texts twice."""
    for control, own in duplicates.items():
        if not own["exact_groups"] + own["near_groups"]:
            continue
        taken = "taken over" if own["carries_near"] else "not taken over"
        near = f", {own['near_groups']} near ones ({taken}, {own['near']:.0%})" if own["near_groups"] else ""
        wrong = f"; {own['disagreeing']} tasks with another label (`understudy suspects`)" if own["disagreeing"] else ""
        twice = f"{own['exact_groups']} (agreement {own['exact']:.0%})"
        yield f"{control}: texts labelled more than once: {twice}{near}{wrong}"


def render_advice(advice: Advice) -> list[str]:
    """For a terminal: a line per thing that can be said."""
    lines = []
    for control, found in (advice.get("controls") or {}).items():
        told = [
            _render_forecast(found.get("forecast")),
            _render_forecast(found.get("forecast_f1"), "F1 of the spans of", "texts"),
            _render_classes(found),
            *map(_render_threshold, found.get("dial") or ()),
        ]
        lines += [f"{control}: {line}" for line in [*told, _render_anchoring(found.get("copying"))] if line]
    if stability := advice.get("stability"):
        settled = "; the answers have settled" if stability["settled"] else ""
        lines.append(
            f"since the plan before, {stability['changed']} of {stability['n']} answers changed "
            f"(kappa {stability['kappas'][-1]:.3f}){settled}"
        )
    return lines


def _render_forecast(forecast: Forecast | None, what: str = "on", unit: str = "tasks") -> str:
    if not forecast:
        return ""
    now, parts = int(forecast["labels"]), []
    for gain in forecast["gains"]:
        low, median, high = gain["low"], gain["median"], gain["high"]
        if median is None or low is None:
            parts.append(f"more than {gain['beyond'] - now} for +{gain['gain'] * 100:.0f}")
            continue
        upto = f"{high - now}" if high is not None else f"more than {gain['beyond'] - now}"
        parts.append(f"about {median - now} ({low - now} to {upto}) for +{gain['gain'] * 100:.0f}")
    labels = "labels" if unit == "tasks" else unit
    level = f"{forecast['accuracy']:.2f} {what} unlabelled {unit} now"
    if forecast.get("cannot_tell"):
        return f"{level}; what more {labels} bring cannot be told yet: more was expected of late than came true"
    return f"{level}; more {labels} needed: {', '.join(parts)} points"


def _render_classes(found: ControlAdvice) -> str:
    if not found.get("classes"):
        return ""
    named = ", ".join(f"{label} needs {count}" for label, count in found["classes"].items())
    rest = int(found.get("scarce", 0)) - len(found["classes"])
    return f"scarce classes: {named}{f' and {rest} more classes' if rest > 0 else ''}"


def _render_threshold(dial: DialJson) -> str:
    if dial["threshold"] is None:
        return f"accept at {dial['target']:.0%}: not yet ({dial['reason']})"
    return (
        f"accept at {dial['target']:.0%}: confidence {dial['threshold']:.2f} and up, {dial['share']:.0%} of the tasks, "
        f"at least {dial['lower_bound']:.1%} of them right ({dial['errors']} errors in {dial['tests']} tests)"
    )


def _render_anchoring(copying: Anchoring | None) -> str:
    if not copying:
        return ""
    low, high = copying["interval"]
    if 100 * (high - low) > COPYING_PER_CENT:
        told = f"copying of wrong pre-labels: not known yet ({copying['blind_wrong']} wrong answers on blind tasks)"
    else:
        told = f"{copying['rate']:.0%} ({low:.0%} to {high:.0%}) of wrong pre-labels are accepted by annotators"
    if copying["lacking"]:
        told += f"; 10 points more or less take about {copying['lacking']} labels more, or a larger QUEUE_BLIND_SHARE"
    return told


def render_learning_curve(
    metrics: Mapping[str, ControlMetrics], curve: Mapping[str, Sequence[CurvePoint]]
) -> list[str]:
    """For a terminal: each control's learning curve, its latest answers, and what to expect of the unlabelled tasks."""
    lines = []
    for control, points in curve.items():
        lines.append(f"{control}: {_render_points(points)} (each before it was learned)")
    for control, found in metrics.items():
        lines.append(
            f"{control}: {found['accuracy']:.2f} of the last {found['n']} new labels, with confidence "
            f"{found['confidence']:.2f} and log-loss {found['log_loss']:.2f}"
        )
        if marked := found.get("marked"):
            lines.append(f"{control}: {_render_marked(marked)}")
            lines += [f"{name}: {_render_about(about)}" for name, about in marked.get("about", {}).items()]
        if pool := found.get("pool"):
            low, high = pool["interval"]
            seem = "better" if pool["bias"] > 0 else "worse"
            lines.append(
                f"{control}: {pool['accuracy']:.2f} ({low:.2f} to {high:.2f}) to be expected on {pool['unlabelled']} "
                f"unlabelled tasks; the labelled ones look {abs(pool['bias']):.2f} {seem}"
            )
    return lines


def _render_marked(marked: MarkedFigures) -> str:
    """Spans of the same texts: the labels that fare worst last."""
    labels = sorted(marked["labels"].items(), key=lambda item: -item[1]["f1"])
    named = ", ".join(f"{label} {figures['f1']:.2f}" for label, figures in labels[:LABELS_SHOWN])
    more = f" and {len(labels) - LABELS_SHOWN} more" if len(labels) > LABELS_SHOWN else ""
    return (
        f"F1 of their spans {marked['f1']:.2f} (precision {marked['precision']:.2f}, recall {marked['recall']:.2f}), "
        f"{marked['saved']:.0%} of the clicks saved; by label: {named}{more}"
    )


def _render_about(about: AboutFigures) -> str:
    """Answers about regions, or relations between them: the labels that fare worst last."""
    (low, high), count = about["interval"], about["n"]
    told = f"{about['accuracy']:.2f} ({low:.2f} to {high:.2f}) of the last {count} about marked regions"
    if "precision" in about:
        low, high = about["precision_interval"]
        told += f"; {about['shown']} suggested, {about['precision']:.2f} ({low:.2f} to {high:.2f}) of them right"
    labels = sorted(about["labels"].items(), key=lambda item: -item[1]["f1"])
    if not labels:
        return told
    named = ", ".join(f"{label} {figures['f1']:.2f} of {figures['n']}" for label, figures in labels[:LABELS_SHOWN])
    more = f" and {len(labels) - LABELS_SHOWN} more" if len(labels) > LABELS_SHOWN else ""
    return f"{told}; F1 by label: {named}{more}"


def _render_points(points: Sequence[CurvePoint]) -> str:
    """The first point, then about one a fourfold, and the last: "0.71 at 16, 0.79 at 64, 0.84 at 200 labels"."""
    shown, least = [], -1
    for point in points:
        if point is points[-1] or point["labels"] >= least:
            shown.append(f"{point['accuracy']:.2f} at {point['labels']}")
            least = max(8, 3 * point["labels"])
    return ", ".join(shown) + " labels"


def render_task_queue(queue: QueueAnswer) -> str:
    """One line for a terminal; "" when there is nothing to say."""
    if off := queue.get("off"):
        return f"queue: not steered, since {off}"
    if not queue.get("version"):
        return ""
    line = f"queue: '{queue['version']}', {queue['tasks']} tasks chosen by {queue['live']} out of {queue['open']}"
    line += f", {queue['used']} answers since" if queue.get("used") else ""
    line += f"; {queue['unread']} texts are not read yet" if queue.get("unread") else ""
    if agreements := queue.get("agreements"):
        last = agreements[-1]
        line += f"; {last['changed']} of {last['n']} answers changed since the plan before"
    return line


UNDER_WAY = ("scarce", "ordered", "given up", "from the next choice on")
"""States of hunts that go on, or might."""

HUNTS_SHOWN = 8
"""Classes that a terminal is told of."""


def render_all_hunts(found: HuntsAnswer) -> list[str]:
    """What `hunt` says without a class; why there is nothing, where there is nothing."""
    none = "all have labels enough, or nothing was chosen yet" if found["share"] else "HUNT_SHARE is 0"
    return render_hunts(found["hunts"], found["hunted_classes"]) or [f"No class is hunted: {none}."]


def render_hunts(hunts: Sequence[HuntState], classes: int = 0) -> list[str]:
    """One line a class that is hunted, how many others of the `classes` there are, and one a class that is not."""
    under = [own for own in hunts if own["state"] in UNDER_WAY]
    lines = [_say_hunt(own) for own in under[:HUNTS_SHOWN]]
    left = max(classes, len(under)) - HUNTS_SHOWN
    others = [f"hunting {left} other classes"] if left > 0 else []
    return [*lines, *others, *(_say_over(own) for own in hunts if own["state"] not in UNDER_WAY)]


def _say_hunt(own: HuntState) -> str:
    name = plain(own["label"])
    if own["state"] == "from the next choice on":
        return f"hunting {name} (ordered): {own['wanted']} wanted, from the next choice on"
    line = f"hunting {name} ({'ordered' if own['ordered'] else 'scarce'}): {own['labels']} of {own['wanted']}"
    line += f", {own['found']} of {own['asked']} tasks asked for it were it" if own["asked"] else ""
    if "matches" in own:
        line += f", {own['matches'] or 'no'} unlabelled tasks match"
    return line + ("; let alone, for it may not be there" if own["vain"] else "")


def _say_over(own: HuntState) -> str:
    name = plain(own["label"])
    if own["state"] == "all found":
        return f"hunted {name}: all {own['wanted']} are found"
    why = "stopped" if own["state"] == "stopped" else "it is not in the label config"
    return f"not hunting {name}: {why}"
