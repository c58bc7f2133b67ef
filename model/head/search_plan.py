"""What a refit tries, by the number of rows and classes. Pure: the time it will take is decided before it starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from model.head.feature_space import DIMENSIONS
from model.head.head_config import MemberConfig
from model.numerics.logistic import VERY_MANY

SEARCH_ROWS = 1000
"""Most rows that choices are made on."""

SEARCH_SIZE = 20_000_000
"""Rows x dimensions x classes of one fit of the search: a tenth of a second on one core."""

FULL_SIZE = 10_000_000
"""Rows x dimensions x classes up to which all folds of all candidates are fitted."""

SEARCH_WORK = 150_000_000
"""Rows x dimensions x classes of all fits of a search together, above which it is lightened: one to two seconds on one
core. Banking77, 128 to 256 labels, 2 orders: accuracy .696 against .697, log-loss 1.109 against 1.107, in 57 % of the
time; 100 labels of 1,000 classes: in a sixth."""

HUGE_SIZE = 150_000_000
"""From here on one member is fitted instead of the average of a few."""

FULL_ROWS = 600

LADDER = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)

MANY = 16
"""Above this many classes weaker regularisation wins: with 77 and 1,000 labels 100 is best, with 2 it is 3."""

FEW_STRENGTHS, MANY_STRENGTHS = (10.0, 3.0, 30.0, 1.0, 100.0), (100.0, 30.0, 300.0, 10.0)

PRIORS = (0.0, 10.0, 20.0)

SPACES = tuple((view, words) for view in ("last", "layers") for words in (False, True))


@dataclass(frozen=True)
class SearchPlan:
    """`spaces` (view, words), `priors` and `strengths` to try; the first strength goes to every space, the others only
    to the best `deep` of them. `folds`: how many parts the rows are dealt to, `scored`: how many of these are held
    out in turn. `rows`: how many rows the choices are made on. `members`: how many candidates are averaged."""

    spaces: tuple[tuple[str, bool], ...]
    priors: tuple[float, ...]
    strengths: tuple[float, ...]
    folds: int
    scored: int
    rows: int
    members: int = 4
    deep: int = 2
    iterations: int = 60

    @property
    def whole(self) -> bool:
        """Whether every row is answered out-of-fold during the search."""
        return self.scored == self.folds

    @property
    def fits(self) -> int:
        """How many problems the search solves."""
        return self.scored * len(self.priors) * (len(self.spaces) + self.deep * (len(self.strengths) - 1))


def plan_search(rows: int, classes: int, previous: Sequence[MemberConfig] = ()) -> SearchPlan:
    """Up to FULL_ROWS and FULL_SIZE every row is answered out-of-fold, in 5 folds, 3 above 128 rows; all spaces and
    priors are tried, and all strengths unless `previous`, the members of the last head, had one that can be started
    from, above 128 rows; with many classes only as much of this as SEARCH_WORK allows (see `_lighten`).

    Thinned above that: one fold in five is held out; choices are made on fewer rows, the fewer the more classes; only
    the last winner's two spaces are tried, two strengths beside its own, two priors; two members are averaged, one
    above HUGE_SIZE. Above VERY_MANY classes only strength and prior are chosen."""
    strengths = MANY_STRENGTHS if classes > MANY else FEW_STRENGTHS + ((0.3,) if rows <= 32 else ())
    priors = PRIORS[1:] if classes > 50 and rows >= 256 else PRIORS
    choices = [member.choice for member in previous] if rows > 128 else []
    if choices:
        own = choices[0].strength
        strengths = (own, *_neighbours(own))
    if classes > VERY_MANY:
        # All layers would be a head of 46 MB at 6,000 classes, words another 97: one member on the last layer.
        folds = min(5, max(2, rows))
        return SearchPlan(
            (("last", False),), priors[-2:], strengths[:2], folds, 1, min(rows, 300), 1, 1, 30 if rows <= 1000 else 12
        )
    size = rows * min(rows, DIMENSIONS) * classes
    if size <= FULL_SIZE and rows <= FULL_ROWS:
        folds = 3 if rows > 128 else 5
        return _lighten(SearchPlan(SPACES, priors, strengths, folds, folds, rows, deep=1 if choices else 2), size)
    best = tuple(dict.fromkeys((choice.view, choice.words) for choice in choices))[:2]
    limit = max(300, min(SEARCH_ROWS, SEARCH_SIZE // (DIMENSIONS * classes)))
    return SearchPlan(
        best or SPACES,
        priors[-2:],
        strengths[:3],
        5,
        1,
        min(rows, limit),
        members=1 if size > HUGE_SIZE else 2,
        deep=1,
        iterations=30,
    )


def _lighten(plan: SearchPlan, size: int) -> SearchPlan:
    """Less of what matters least, one thing after the other, while all fits together are too much work: strengths in
    the second-best space, folds, strengths, the middle prior. The spaces stay: leaving one out costs a point
    (banking77, 256 labels); so does the prior of 0, where there is one: the names may mislead."""
    less: tuple[Callable[[SearchPlan], SearchPlan], ...] = (
        lambda plan: replace(plan, deep=1),
        lambda plan: replace(plan, folds=3, scored=3),
        lambda plan: replace(plan, strengths=plan.strengths[:2]),
        lambda plan: replace(plan, priors=(plan.priors[0], plan.priors[-1])),
    )
    for lighten in less:
        if plan.fits * size <= SEARCH_WORK:
            break
        plan = lighten(plan)
    return plan


def _neighbours(strength: float) -> tuple[float, ...]:
    """The next smaller and the next larger one of the ladder."""
    below = [s for s in LADDER if s < strength]
    above = [s for s in LADDER if s > strength]
    return (*below[-1:], *above[:1])
