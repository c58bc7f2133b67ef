"""An export goes to a repository on the model hub: private when it is made, by our routes, with HF_TOKEN."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from backend.base_model.hub import prepare_hub
from backend.errors import BadRequest, Conflict, SettingsError
from backend.redaction import hide_secrets
from backend.screen import plain
from backend.settings.settings import Settings

MESSAGE_CHARACTERS = 300

REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}/[A-Za-z0-9_][A-Za-z0-9._-]{0,95}")
"""As the hub takes them: its client checks the rest."""


def require_hub(settings: Settings, repository: str) -> None:
    """Before anything is made: a token, and a name that the hub takes. Raises SettingsError and BadRequest."""
    if not settings.hf_token.get_secret_value():
        raise SettingsError("--push-to-hub needs HF_TOKEN: a token of the model hub that may write", setting="HF_TOKEN")
    if not REPOSITORY.fullmatch(repository) or ".." in repository or "--" in repository:
        raise BadRequest(f"--push-to-hub: OWNER/NAME is needed, not {plain(repository[:100])}", field="push_to_hub")


def push(settings: Settings, repository: str, directory: Path, tell: Callable[[str], None] = lambda _: None) -> str:
    """The files of `directory`, in one commit; its address. A repository that is not there is made, a private one.
    Raises Conflict with what the hub said."""
    from huggingface_hub import HfApi

    prepare_hub()
    api = HfApi(token=settings.hf_token.get_secret_value())
    tell(f"to {repository} on {api.endpoint}")
    try:
        made = api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(repo_id=made.repo_id, folder_path=directory, commit_message="Exported from understudy")
    except Exception as error:  # the hub's client raises a dozen unrelated kinds
        said = hide_secrets(str(error)).strip().replace("\n", " ")[:MESSAGE_CHARACTERS]
        raise Conflict(f"{repository} was not pushed: {said} ({directory.name} is whole, and stays)") from error
    return str(made)
