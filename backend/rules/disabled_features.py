"""What does not work with the present settings, and which setting would switch it on."""

from __future__ import annotations

from backend.settings.settings import Settings


def switched_off(settings: Settings) -> dict[str, str]:
    """Feature -> why it is off. Empty when everything is on."""
    off = {}
    missing = [
        name
        for name, value in (
            ("LABEL_STUDIO_URL", settings.label_studio_url),
            ("LABEL_STUDIO_API_KEY", settings.label_studio_api_key.get_secret_value()),
        )
        if not value
    ]
    if missing:
        reason = f"{' and '.join(missing)} not set; a webhook that gets lost is not made up for"
        off["reconciling with Label Studio"] = reason
    if not settings.basic_auth_user:
        off["basic auth"] = f"BASIC_AUTH_USER not set; whoever reaches {settings.host}:{settings.port} can ask"
        if not settings.webhook_secret.get_secret_value():
            off["webhook secret"] = "WEBHOOK_SECRET not set; whoever reaches the port can add labels"
    if not settings.finetune_enabled:
        off["automatic fine-tuning"] = "FINETUNE_ENABLED is false; `understudy retrain PROJECT` still works"
    if settings.allow_unsafe_redis:
        off["durability check of Redis"] = "ALLOW_UNSAFE_REDIS is true; labels can be lost"
    return off
