"""The same labelled texts in a hundred languages: what Unicode's CLDR calls emoji, and the groups that they are in."""

from __future__ import annotations

import json
import subprocess
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

PACKAGES = ("cldr-annotations-full@48.2.0", "unicode-emoji-json@0.9.0")
"""Of npm; Unicode-3.0 and MIT."""

LEFT_OUT = "Flags"
"""Names of countries, which say so at once."""

Rows = list[tuple[str, str]]


def emoji_sets(languages: Sequence[str]) -> Iterator[tuple[str, Rows, Rows]]:
    """(language, rows to learn from, rows to measure on) of (text, label). A text is a name and its keywords:
    `candy: dessert, sweet, wrapper`, its label one of eight groups: `Food & Drink`. An emoji is in one split in all
    languages. Raises CalledProcessError where npm is not there, or reaches nothing."""
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as scratch:
        names, groups = (_unpack(Path(scratch), package) for package in PACKAGES)
        listed = json.loads((groups / "data-by-group.json").read_text(encoding="utf-8"))
        group_of = {_bare(one["emoji"]): group["name"] for group in listed for one in group["emojis"]}
        for language in languages:
            path = names / "annotations" / language / "annotations.json"
            found = json.loads(path.read_text(encoding="utf-8"))["annotations"]["annotations"]
            yield language, *_split(found, group_of)


def _split(found: dict[str, Any], group_of: dict[str, str]) -> tuple[Rows, Rows]:
    splits: tuple[Rows, Rows] = ([], [])
    seen = set[str]()
    for sign in sorted(found, key=lambda sign: zlib.crc32(sign.encode())):
        group, (name, *_) = group_of.get(_bare(sign), LEFT_OUT), found[sign].get("tts", [""])
        text = ": ".join(
            filter(None, (name, ", ".join(word for word in found[sign].get("default", []) if word != name)))
        )
        if group != LEFT_OUT and name and text not in seen:
            seen.add(text)
            splits[zlib.crc32(sign.encode()) % 5 < 2].append((text, group))
    return splits


def _bare(sign: str) -> str:
    """Without the mark that asks for a coloured picture."""
    return sign.replace("\ufe0f", "")


def _unpack(directory: Path, package: str) -> Path:
    done = subprocess.run(["npm", "pack", "--silent", package], cwd=directory, check=True, stdout=subprocess.PIPE)
    target = directory / package.partition("@")[0]
    target.mkdir()
    subprocess.run(["tar", "-xzf", done.stdout.decode().split()[-1], "-C", target.name], cwd=directory, check=True)
    return target / "package"
