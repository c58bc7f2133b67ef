"""What understudy asks of Label Studio's API, in the order of a project's life: create, connect, list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.labelstudio.rest.predictions import Predictions
from backend.labelstudio.rest.tabs import Tabs
from backend.labelstudio.rest.tasks import Tasks
from backend.labelstudio.rest.transport import ATTEMPTS_PER_CALL, READ_SECONDS, Json, Transport
from backend.settings.settings import Settings

TIMEOUT_SECONDS = 100.0
"""What Label Studio waits for a prediction (its own default)."""

EVERY_ACTION = {"send_payload": True, "send_for_all_actions": True, "is_active": True}
"""Of a webhook: what it sends."""


class LabelStudioClient:
    """One Label Studio, by URL and token (personal access token or legacy token). Every method raises
    LabelStudioError; its evidence holds the HTTP `status` and, where known, a `hint`. Nothing is sent before the
    first call."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        ca_file: str = "",
        attempts: int = ATTEMPTS_PER_CALL,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._transport = Transport(url, api_key, ca_file=ca_file, attempts=attempts, read_seconds=read_seconds)
        self.tasks, self.tabs = Tasks(self._transport), Tabs(self._transport)
        self.predictions = Predictions(self._transport, self.tasks)

    @classmethod
    def of(cls, settings: Settings, **options: Any) -> LabelStudioClient:
        """The one that the settings name."""
        key = settings.label_studio_api_key.get_secret_value()
        return cls(settings.label_studio_url, key, ca_file=settings.label_studio_ca_file, **options)

    def __enter__(self) -> LabelStudioClient:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the connections."""
        self._transport.close()

    # Itself

    def version(self) -> str:
        """Its release, such as 1.23.2; "" when it does not say."""
        return str(self._transport.call_object("GET", "api/version/").get("release") or "")

    def whoami(self) -> Json:
        """The user whose token this is."""
        return self._transport.call_object("GET", "api/current-user/whoami")

    def people(self) -> dict[int, str]:
        """Number -> what its users are called: their name, or the first part of what they log in with."""
        users = self._transport.call_list("api/users/", {})
        return {user["id"]: name for user in users if isinstance(user.get("id"), int) and (name := _name_of(user))}

    # Projects

    def create_project(self, title: str, label_config: str, **fields: Any) -> Json:
        """The new project."""
        return self._transport.call_object(
            "POST", "api/projects/", {"title": title, "label_config": label_config, **fields}
        )

    def project(self, project: int) -> Json:
        """Its fields: id, title, label_config, model_version, sampling, task_number, …"""
        return self._transport.call_object("GET", f"api/projects/{project}/")

    def set_project(self, project: int, **fields: Any) -> Json:
        """Change fields, such as `sampling="Uncertainty sampling"` or `label_config`."""
        return self._transport.call_object("PATCH", f"api/projects/{project}/", fields)

    # The connection to this backend

    def backends(self, project: int) -> list[Json]:
        """Its ML backends. Label Studio asks each for /health and /setup before it answers."""
        return self._transport.call_list("api/ml/", {"project": project})

    def create_or_update_backend(
        self,
        project: int,
        *,
        url: str,
        title: str,
        basic_auth: tuple[str, str] | None = None,
        backend: int | None = None,
        interactive: bool = False,
    ) -> Json:
        """The backend with this URL and title; `backend` is the id of the one to change, None makes one. `interactive`:
        it is asked at every mark, where an annotator has Auto-Annotation on; else that stays as it is.

        Label Studio tries the URL first. Its refusal of private addresses is a 403 (see the hint); with only one of
        its two switches set the backend row is made all the same, without a webhook."""
        body: Json = {"project": project, "url": url, "title": title, "timeout": TIMEOUT_SECONDS, "auth_method": "NONE"}
        if basic_auth:
            body |= {"auth_method": "BASIC_AUTH", "basic_auth_user": basic_auth[0], "basic_auth_pass": basic_auth[1]}
        if interactive:
            body["is_interactive"] = True
        if backend is None:
            return self._transport.call_object("POST", "api/ml/", body)
        return self._transport.call_object("PATCH", f"api/ml/{backend}", body)

    def delete_backend(self, backend: int) -> None:
        """Remove the connection; its webhook and predictions stay."""
        self._transport.call("DELETE", f"api/ml/{backend}")

    def webhooks(self, project: int) -> list[Json]:
        """Its webhooks: id, url, headers, is_active, …"""
        return self._transport.call_list("api/webhooks/", {"project": project})

    def create_webhook(self, project: int, *, url: str, headers: Mapping[str, str] | None = None) -> Json:
        """A webhook for every action, with payload."""
        body = {"project": project, "url": url, "headers": dict(headers or {}), **EVERY_ACTION}
        return self._transport.call_object("POST", "api/webhooks/", body)

    def patch_webhook(self, webhook: int, *, url: str, headers: Mapping[str, str]) -> Json:
        """Set URL and headers, and see to it that everything is sent. Label Studio refuses headers without the URL."""
        body = {"url": url, "headers": dict(headers), **EVERY_ACTION}
        return self._transport.call_object("PATCH", f"api/webhooks/{webhook}/", body)

    def delete_webhook(self, webhook: int) -> None:
        """Remove a webhook."""
        self._transport.call("DELETE", f"api/webhooks/{webhook}/")

    def would_send(self, webhook: int, *, url: str) -> None:
        """Sets a webhook's URL to what it is, which changes nothing: Label Studio refuses (403) where it does not send.

        Only for webhooks for all actions: the list of chosen ones would be emptied."""
        self._transport.call_object("PATCH", f"api/webhooks/{webhook}/", {"url": url})


def _name_of(user: Json) -> str:
    """Who has no name is called by the address to log in with, up to the @: Label Studio makes its own so."""
    parts = [str(user.get(name) or "").strip() for name in ("first_name", "last_name")]
    return (
        " ".join(part for part in parts if part)
        or str(user.get("username") or user.get("email") or "").partition("@")[0]
    )
