"""Every row stands on one page, and whatever is asked for there is a page to show."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backend.ui.paging import Place, cut_page


@given(st.integers(0, 300), st.integers(1, 40))
def test_the_pages_together_are_all_rows_in_order(count: int, size: int) -> None:
    rows = list(range(count))
    pages = cut_page(rows, {}, size)[1].pages
    found = [cut_page(rows, {"page": str(number)}, size) for number in range(1, pages + 1)]
    assert [row for page, _ in found for row in page] == rows
    for page, place in found:
        assert (place.first, place.last) == ((page[0] + 1, page[-1] + 1) if page else (0, 0))


@given(st.text(max_size=12))
def test_whatever_is_asked_for_is_a_page(text: str) -> None:
    place = cut_page(list(range(60)), {"page": text})[1]
    assert 1 <= place.number <= place.pages == 3


def test_a_page_that_is_gone_is_the_last_one() -> None:
    assert cut_page([7, 8], {"page": "9"}, 1) == ([8], Place(2, 2, 2, 2, 2))
    assert cut_page([], {"page": "9"}) == ([], Place(1, 1, 0, 0, 0))
