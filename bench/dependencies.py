"""What the packages of requirements.txt take on disk: `python -m bench.dependencies [requirements.txt]`.

A row per package that is asked for: its own size, and what would go with it if it alone were not asked for. Everything
is read from what is installed here.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

MB = 1e6
Wanted = tuple[str, tuple[str, ...]]
"""A package and the extras that are asked of it."""


@dataclass(frozen=True)
class Row:
    """`own`, `alone`: bytes of the package, and of all that is there for it only; `packages`: how many those are."""

    name: str
    own: int
    alone: int
    packages: int


def measure(requirements: Iterable[Wanted]) -> tuple[list[Row], set[str]]:
    """(a row per requirement, heaviest first; every package that is installed because of them)"""
    wanted = list(requirements)
    everything = close_over(wanted)
    rows = []
    for one in wanted:
        only = everything - close_over(other for other in wanted if other[0] != one[0])
        rows.append(Row(one[0], size_of(one[0]), sum(map(size_of, only)), len(only)))
    return sorted(rows, key=lambda row: -row.alone), everything


def read_requirements(path: Path) -> list[Wanted]:
    """Those that are installed here; options and other files' lines are not followed."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            one = Requirement(line.split(" #")[0].strip())
        except InvalidRequirement:
            continue
        if _applies(one, ()) and _find(canonicalize_name(one.name)):
            found.append(_wanted(one))
    return found


def close_over(wanted: Iterable[Wanted]) -> set[str]:
    """The names of the packages and of all that they require."""
    seen: set[Wanted] = set()
    rest = list(wanted)
    while rest:
        one = rest.pop()
        if one not in seen and _find(one[0]) is not None:
            seen.add(one)
            rest += _requirements_of(one)
    return {name for name, _ in seen}


@cache
def size_of(name: str) -> int:
    """Bytes of its files, without what Python compiles from them."""
    found = _find(name)
    paths = (Path(str(file.locate())) for file in (found.files if found else None) or ())
    return sum(path.stat().st_size for path in paths if path.suffix != ".pyc" and path.is_file())


@cache
def _find(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _requirements_of(wanted: Wanted) -> list[Wanted]:
    found = _find(wanted[0])
    named = map(Requirement, (found.requires if found else None) or ())
    return [_wanted(one) for one in named if _applies(one, wanted[1])]


def _applies(requirement: Requirement, extras: tuple[str, ...]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def _wanted(requirement: Requirement) -> Wanted:
    return canonicalize_name(requirement.name), tuple(sorted(requirement.extras))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("requirements", nargs="?", type=Path, default=Path("requirements.txt"))
    rows, everything = measure(read_requirements(parser.parse_args().requirements))
    print(f"{'package':28} {'own MB':>8} {'alone MB':>9} {'packages':>9}")
    for row in rows:
        print(f"{row.name:28} {row.own / MB:8.1f} {row.alone / MB:9.1f} {row.packages:9}")
    total = sum(map(size_of, everything))
    print(f"{'all of them':28} {'':8} {total / MB:9.1f} {len(everything):9}")


if __name__ == "__main__":
    main()
