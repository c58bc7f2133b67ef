"""Packages that only some formats need, and that understudy does not install."""

from __future__ import annotations

import importlib.util

from backend.errors import MissingPackage


def require(package: str, what: str) -> None:
    """Raises MissingPackage, with the command that installs it."""
    if importlib.util.find_spec(package) is None:
        raise MissingPackage(
            f"{what} needs the package {package}: `python -m pip install {package}` into understudy's environment "
            "(requirements-export.txt has the versions it was tested with)",
            package=package,
        )
