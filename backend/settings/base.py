"""The base of the settings: a pydantic model that reads each value from its sources and converts it.

Not pydantic-settings: it reads `.env` as UTF-8 only, does not know where a value stands, and shows it in its errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from backend.settings.sources import read_given
from backend.settings.values import clean


class GivenModel(BaseModel):
    """Frozen. Its fields are read from `environ` and a file, by their names in capitals."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True, validate_default=True)

    def __init__(self, _env_file: str | None = ".env", **values: object) -> None:
        """`values` go before what people have set. Raises SettingsError, and ValidationError for what only the type
        tells."""
        given = read_given(type(self).model_fields, self.environ(), Path(_env_file) if _env_file else None)
        super().__init__(**{name: clean(name, value) for name, value in {**given, **values}.items()})

    @classmethod
    def environ(cls) -> Mapping[str, str]:
        """Where values come from first."""
        raise NotImplementedError
