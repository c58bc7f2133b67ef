"""Numbers as people read them: the one place where the page rounds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

NARROW = "\u202f"
"""A narrow blank that does not break: between a number and its unit."""

UNITS = (("B", 1), ("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000))


def format_count(value: float) -> str:
    """12,345."""
    return f"{round(value):,}"


def format_rough(value: float) -> str:
    """128,412 as 130,000: of what is estimated."""
    return format_count(float(f"{value:.2g}"))


def format_percent(share: float, digits: int = 0) -> str:
    """.8412 as 84 %; what is not all or nothing is never told as such."""
    text = f"{100 * share:.{digits}f}"
    if share < 1 and float(text) >= 100:
        text = f"{100 - 10**-digits:.{digits}f}"
    return f"{text}{NARROW}%"


def format_interval(interval: Sequence[float], digits: int = 0) -> str:
    """[.81, .88] as "81 to 88 %"."""
    low, high = interval
    return f"{100 * low:.{digits}f} to {format_percent(high, digits)}"


def format_score(value: float) -> str:
    """.8412 as .84, always with two digits."""
    return f"{value:.2f}"


def format_seconds(seconds: float) -> str:
    """The largest unit that is at least one: 40 s, 3 min, 2 h, 5 days."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            count = round(seconds / size)
            return f"{count}{NARROW}{'day' if unit == 'days' and count == 1 else unit}"
    return f"{max(0, round(seconds))}{NARROW}s"


def format_time(epoch: float) -> str:
    """2026-11-29 16:31 UTC; a script shows the reader's own time in its place."""
    return datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def format_iso(epoch: float) -> str:
    """For `<time datetime>`."""
    return datetime.fromtimestamp(epoch, timezone.utc).isoformat(timespec="seconds")


def format_bytes(count: float) -> str:
    """1,234,567 as 1.2 MB."""
    name, size = max((unit for unit in UNITS if count >= unit[1]), key=lambda unit: unit[1], default=UNITS[0])
    digits = 1 if size > 1 and count < 100 * size else 0
    return f"{count / size:.{digits}f}{NARROW}{name}"


def format_change(value: float) -> str:
    """-.1213 as −0.121, with a sign of its own width."""
    return f"{value:+.3f}".replace("-", "\u2212")


def format_sentence(text: str) -> str:
    """With a capital letter first and a full stop at the end; nothing else is changed, as `capitalize` would."""
    return f"{text[:1].upper()}{text[1:]}{'' if text[-1:] in '.!?' else '.'}"


def pluralise(count: float, noun: str, plural: str = "") -> str:
    """1 label, 12 labels."""
    return f"{format_count(count)} {noun if round(count) == 1 else plural or noun + 's'}"
