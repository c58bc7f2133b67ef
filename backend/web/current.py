"""What the routes of a request work with: the services of this application, and the project that it names."""

from __future__ import annotations

from flask import current_app

from backend.application.projects import require_project
from backend.application.services import Services


def services() -> Services:
    """Those of the running application."""
    found: Services = current_app.extensions["understudy"]
    return found


def known_project(project: int) -> int:
    """The id of a known project. Raises NotFound."""
    return require_project(services().stores.projects, project)
