"""Labels and inputs as a data set has them: by the words that people know."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from model.spec import NONE, Control, Input, Kind, TaskSpec


class Wording:
    """Of the controls of one project."""

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec
        self._controls: dict[str, Control] = {item.name: item for item in (*spec.questions, *spec.regions)}
        plain = {item.name for item in spec.inputs if item.page is None}
        self._inputs = {item.name: _input_name(item, plain) for item in spec.inputs}

    def input(self, name: str) -> str:
        """What a text is called: as its tag is, or where a text is read in two ways and spans count in this one,
        with `_marked` behind."""
        return self._inputs.get(name, name)

    def show(self, control: str, key: str) -> str:
        """The text of a label key; of marked text and of controls that are gone the key itself."""
        own = self._controls.get(control)
        return key if own is None or key == NONE or own.kind is Kind.SPANS else own.show(key)

    def show_all(self, control: str, keys: Iterable[str]) -> list[str]:
        """Without "none of these"."""
        return [self.show(control, key) for key in keys if key != NONE]

    def shares(self, control: str, target: Mapping[str, float]) -> dict[str, float]:
        """Label -> share, the largest first; "" for none of these."""
        ordered = sorted(target.items(), key=lambda item: (-item[1], item[0]))
        return {self.show(control, key): round(share, 6) for key, share in ordered}


def _input_name(item: Input, plain: Collection[str]) -> str:
    if item.page is None:
        return item.name
    return f"{item.page.object}_marked" if item.page.object in plain else item.page.object
