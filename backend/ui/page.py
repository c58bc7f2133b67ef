"""What every page needs besides its own data: where it lies, who is logged in, what stands above it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tab:
    """A tab of a project: the last part of its address, and its name."""

    slug: str
    name: str


PEOPLE = "people"
"""The tab that UI_PEOPLE hides."""

TABS = (
    Tab("overview", "Overview"),
    Tab("classes", "Classes"),
    Tab("confidence", "Confidence"),
    Tab("errors", "Errors"),
    Tab("versions", "Versions"),
    Tab(PEOPLE, "People"),
    Tab("queue", "Queue"),
)
"""In the order in which they stand; the first one opens by itself."""


@dataclass(frozen=True)
class Frame:
    """`prefix`: the path of PUBLIC_URL, before every address. `csrf_token`: of the session's forms. `digests`: of each
    file, for its address. `news`: what the page was made from, to ask whether there is any. `people`: whether
    annotators are named."""

    prefix: str
    title: str
    csrf_token: str
    digests: dict[str, str]
    news: str = ""
    tab: str = ""
    project: int | None = None
    people: bool = True

    @property
    def tabs(self) -> tuple[Tab, ...]:
        """Those of a project."""
        return tuple(tab for tab in TABS if self.people or tab.slug != PEOPLE)

    def url(self, path: str) -> str:
        """The address of a path of ours, such as `/ui`."""
        return f"{self.prefix}{path}"

    def file(self, name: str) -> str:
        """The address of a file; it changes with what is in it, so that it may be kept for good."""
        return f"{self.prefix}/ui/static/{name}?{self.digests[name]}"
