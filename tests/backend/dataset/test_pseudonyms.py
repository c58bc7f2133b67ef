"""Who annotated: the same person is seen as such, and not who it is."""

from __future__ import annotations

from backend.dataset.pseudonyms import People, name_people


def test_a_pseudonym_stays_the_same_in_a_project_and_differs_elsewhere() -> None:
    name = name_people(People.PSEUDONYMS, "secret", 7)
    assert name(3) == name_people(People.PSEUDONYMS, "secret", 7)(3) != name(4)
    assert (
        len({name(3), name_people(People.PSEUDONYMS, "other", 7)(3), name_people(People.PSEUDONYMS, "secret", 8)(3)})
        == 3
    )
    assert name(3).startswith("annotator-")
    assert name(None) == ""


def test_ids_and_nothing() -> None:
    assert name_people(People.IDS, "secret", 7)(3) == "3"
    assert name_people(People.IDS, "secret", 7)(None) == ""
    assert name_people(People.NONE, "secret", 7)(3) == ""
