"""`understudy simulate`: the learning curve of a labelled file, or of a labelled project, through the real learner."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from backend.cli.simulate.parameters import Counts, Encoders, Names
from backend.cli.simulate.progress import Progress
from backend.screen import plain, say, say_json
from backend.settings.home_path import HomePath
from backend.settings.settings import Settings, current_settings
from model.errors import DataError, ModelError

if TYPE_CHECKING:
    from backend.simulate.trainer import Workplace
    from model.simulation.dataset import Dataset
    from model.simulation.replay import ReplayPlan, Row
    from model.simulation.span_dataset import SpanDataset
    from model.spans.patterns.lexicon import Lexicon

CHEAP_PEERS = "tfidf,lr"
PICTURES = (".png", ".svg", ".pdf")


class Options(TypedDict):
    """What the command line says besides the rows."""

    test_rows: int | None
    control: str
    strategies: tuple[str, ...]
    counts: tuple[int, ...]
    seeds: tuple[int, ...]
    pool: int
    batch: int
    peers: tuple[str, ...] | None
    finetune: bool
    multilabel: bool | None
    blank: str
    threads: int | None
    cache: Path | None
    plot: Path | None
    patterns: Path | None
    base_model: tuple[str, ...]


def strategy_names() -> Sequence[str]:
    from model.acquisition.strategies import STRATEGIES

    return tuple(STRATEGIES)


def peer_names() -> Sequence[str]:
    """Known peers, the quick ones first."""
    from model.simulation.baselines import PEERS

    return tuple(PEERS)


@click.command()
@click.argument("train", type=HomePath(dir_okay=False), required=False, metavar="[TRAIN.csv|TRAIN.jsonl]")
@click.option("--test", type=HomePath(dir_okay=False), help="Rows to measure on (in the form of TRAIN).")
@click.option("--test-rows", type=click.IntRange(1), help="Measure on the first so many test rows only.")
@click.option("--project", type=click.IntRange(1), help="Replay what this project has stored, instead of a file.")
@click.option("--control", default="", help="Which control of the project or export (default: the first).")
@click.option(
    "--strategy",
    "strategies",
    type=Names("strategy", strategy_names, ["all"]),
    default="random",
    show_default=True,
    help="How the next labels are chosen: random, margin, entropy, least_confidence, bald, margin_clusters, "
    "typiclust, typical_first, coreset, badge, or all.",
)
@click.option("--labels", "counts", type=Counts(), default="0,16,64,256", show_default=True, help="Label counts.")
@click.option(
    "--seeds",
    type=Counts(),
    default="3",
    show_default=True,
    help="Number of seeds (from 0 on), or the seeds themselves: 11,12,13.",
)
@click.option("--pool", type=click.IntRange(1), default=4000, show_default=True, help="Rows to choose labels from.")
@click.option("--batch", type=click.IntRange(1), default=16, show_default=True, help="Labels chosen at a time.")
@click.option(
    "--peers",
    type=Names("peer", peer_names, ["all", "none"]),
    help=f"Recipes to run on the same rows: tfidf, lr, humansignal, setfit, all or none (default: {CHEAP_PEERS}; "
    "with --json none). The last two fine-tune, which takes minutes.",
)
@click.option(
    "--finetune/--no-finetune",
    default=True,
    help="Fine-tune where the policy would (default). Of spans and answers each takes minutes.",
)
@click.option("--multilabel/--single-label", default=None, help="Default: by whether any label holds a |.")
@click.option(
    "--blank",
    type=click.Choice(["unlabelled", "none"]),
    default="unlabelled",
    help="What a row without a label says: nothing (default), or none of these.",
)
@click.option("--patterns", type=HomePath(dir_okay=False), help="Of spans: strings and expressions for labels.")
@click.option(
    "--base-model",
    type=Encoders(),
    default="",
    help="Encoders to compare on these labels, joined by commas: presets, hub ids or directories (docs/encoders.md).",
)
@click.option("--threads", type=click.IntRange(1), help="Threads of torch (default: all cores).")
@click.option("--cache", type=HomePath(file_okay=False), help="Keep encoded texts here.")
@click.option("--plot", type=HomePath(dir_okay=False), help="Draw the curves (PNG, SVG).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per strategy, n and seed, nothing else.")
def simulate(
    train: Path | None, test: Path | None, project: int | None, as_json: bool, **options: Unpack[Options]
) -> None:
    """Replay labelled rows through the real learner and policy, and show its learning curve.

    TRAIN is a table of labelled texts, or a file of texts with marked spans or with questions and their answers.

    TRAIN.csv has the columns text,label (others are ignored); several labels of a row are joined by |, underscores in
    names are spaces, rows without a label belong to the unlabelled pool only (with --blank none they are labelled "none
    of these"). Without --test a fifth of the rows is held out, by a hash of the text. The label set, which a project's
    config would list, is the union of the labels of both files.

    TRAIN.jsonl has a line {"text": "...", "spans": [{"start": 0, "end": 3, "label": "..."}]} per text, in characters
    of the text; Label Studio's JSON export of a project with spans does as well. F1 counts exact spans with the right
    label, shown for the best F1; "saved" is the share of an annotator's edits that what is shown spares.
    """
    if (train is None) == (project is None):
        raise click.UsageError("give a TRAIN.csv (or TRAIN.jsonl) or --project ID, one of them")
    if test is not None and train is None:
        raise click.UsageError("--test goes with a TRAIN.csv or TRAIN.jsonl")
    _check_plot(options["plot"])
    progress, settings = Progress(), current_settings()
    rows: list[Row] = []
    try:
        data = _read(settings, train, test, project, options, progress)
        plans = _plans(data, options, progress)
        peers = _peers(data, options["peers"], as_json)
        for row in _all_rows(settings, data, plans, peers, options, progress):
            rows.append(row)
            if as_json:
                progress.clear()
                say_json(row, indent=None)
    except ModelError as error:
        raise click.ClickException(error.message) from error
    finally:
        progress.clear()
    _show(rows, options["plot"], as_json)


def _check_plot(plot: Path | None) -> None:
    """A picture that cannot be written is refused before the work, not after it."""
    if plot is not None and (plot.suffix.lower() not in PICTURES or not plot.absolute().parent.is_dir()):
        wanted = f"a file name ending in {', '.join(PICTURES)} in an existing directory"
        raise click.BadParameter(f"{plot} cannot be written: {wanted} is needed", param_hint="--plot")


def _read(
    settings: Settings,
    train: Path | None,
    test: Path | None,
    project: int | None,
    options: Options,
    progress: Progress,
) -> Dataset | SpanDataset:
    from model.simulation.dataset import Dataset

    if train is not None:
        data = _read_file(train, test, options, progress)
    else:
        from backend.simulate.project_dataset import read_project

        data = read_project(settings, int(project or 0), options["control"])
        if not isinstance(data, Dataset):
            _refuse_for_spans(options, f"project {project}")
    return data.capped(options["test_rows"])


def _read_file(train: Path, test: Path | None, options: Options, progress: Progress) -> Dataset | SpanDataset:
    from backend.simulate.span_files import is_span_file
    from model.simulation.dataset import read_dataset

    if is_span_file(train):
        return _read_spans(train, test, options, progress)
    if test is not None and is_span_file(test):
        raise DataError(f"{test} is JSON and {train} is a table: both must be of one kind")
    return read_dataset(train, test, multilabel=options["multilabel"], blank=options["blank"] == "none")


def _read_spans(train: Path, test: Path | None, options: Options, progress: Progress) -> SpanDataset:
    from backend.simulate.span_files import read_span_files

    _refuse_for_spans(options, str(train))
    files = read_span_files(train, test, options["control"])
    for note in files.notes:
        progress.note(plain(note))
    return files.data


def _refuse_for_spans(options: Options, where: str) -> None:
    """What says nothing about spans is refused before the work."""
    for given, option in (
        (options["multilabel"] is not None, "--multilabel/--single-label"),
        (options["blank"] != "unlabelled", "--blank"),
        (bool(options["peers"]), "--peers"),
    ):
        if given:
            raise click.BadParameter(f"is for choices, and {where} holds texts with spans", param_hint=option)


def _lexicons(data: Dataset | SpanDataset, patterns: Path | None) -> Mapping[str, Lexicon]:
    from backend.simulate.span_files import read_lexicons

    return read_lexicons(patterns, data) if patterns is not None else {}


def _peers(data: Dataset | SpanDataset, given: tuple[str, ...] | None, as_json: bool) -> tuple[str, ...]:
    from model.simulation.dataset import Dataset

    if given is not None:
        return given
    return tuple(CHEAP_PEERS.split(",")) if isinstance(data, Dataset) and not as_json else ()


def _strategies(data: Dataset | SpanDataset, given: tuple[str, ...]) -> tuple[str, ...]:
    """Those that were asked for; of "all" those that differ for such data."""
    from model.simulation.dataset import Dataset
    from model.simulation.span_replay import SPAN_STRATEGIES

    if isinstance(data, Dataset):
        return given
    same = [name for name in given if name not in SPAN_STRATEGIES]
    if same and given != tuple(strategy_names()):
        words = f"{', '.join(same)} is for choices; of spans there are {', '.join(SPAN_STRATEGIES)}"
        raise click.BadParameter(words, param_hint="--strategy")
    return tuple(name for name in given if name in SPAN_STRATEGIES)


def _plans(data: Dataset | SpanDataset, options: Options, progress: Progress) -> list[ReplayPlan]:
    from model.simulation.replay import ReplayPlan, reachable

    strategies = _strategies(data, options["strategies"])
    counts = reachable(data.labelled, options["counts"])
    if above := [count for count in options["counts"] if count > counts[-1]]:
        progress.note(f"only {counts[-1]} rows can be labelled: {', '.join(map(str, above))} become {counts[-1]}")
    given = options["seeds"]
    seeds = given if len(given) > 1 else tuple(range(given[0]))
    if not seeds:
        raise click.BadParameter("at least one seed is needed", param_hint="--seeds")
    return [
        ReplayPlan(counts, strategy, seed, options["pool"], options["batch"])
        for seed in seeds
        for strategy in strategies
    ]


def _all_rows(
    settings: Settings,
    data: Dataset | SpanDataset,
    plans: Sequence[ReplayPlan],
    peers: Sequence[str],
    options: Options,
    progress: Progress,
) -> Iterator[Row]:
    """Those of BASE_MODEL, or of each encoder to be compared, with what that costs; peers once, over the first."""
    from backend.simulate.encoders import find_all, measure_cost

    lexicons, cache, threads = _lexicons(data, options["patterns"]), options["cache"], options["threads"] or 0
    names = options["base_model"]
    find_all(settings, names)
    for name in names or (settings.base_model,):
        with _workplace(settings.model_copy(update={"base_model": name}), cache, threads) as place:
            place.lexicons = lexicons
            told: Row = {"encoder": name, **measure_cost(place, data)} if names else {}
            shown = peers if name == (names or (name,))[0] else ()
            for row in _rows(place, data, plans, shown, options["finetune"], progress):
                yield {**row, **told}


@contextmanager
def _workplace(settings: Settings, cache: Path | None, threads: int) -> Iterator[Workplace]:
    from backend.simulate.trainer import Workplace

    with tempfile.TemporaryDirectory(prefix="understudy-simulate-") as scratch:
        try:
            place = Workplace(settings, Path(scratch), cache or Path(scratch) / "features", threads)
        except OSError as error:
            raise DataError(f"{cache or scratch} cannot be written: {error.strerror or error}") from error
        yield place
        place.close()


def _rows(
    place: Workplace,
    data: Dataset | SpanDataset,
    plans: Sequence[ReplayPlan],
    peers: Sequence[str],
    finetune: bool,
    progress: Progress,
) -> Iterator[Row]:
    from backend.simulate.trainer import PolicyTrainer
    from model.simulation.dataset import Dataset
    from model.simulation.replay import Replay

    if not isinstance(data, Dataset):
        yield from _span_rows(place, data, plans, finetune, progress)
        return
    trainer = PolicyTrainer(place, progress.tell) if finetune else None
    for plan in plans:
        progress.about(f"{plan.strategy}, seed {plan.seed}")
        yield from Replay(data, plan, place.base, trainer, progress.tell).rows()
    for seed in dict.fromkeys(plan.seed for plan in plans):
        yield from _peer_rows(place, data, plans[0].counts, seed, peers, progress)


def _span_rows(
    place: Workplace, data: SpanDataset, plans: Sequence[ReplayPlan], finetune: bool, progress: Progress
) -> Iterator[Row]:
    from backend.simulate.trainer import PolicyTrainer
    from model.simulation.span_replay import replay_of

    tools, trainer = place.span_tools(), PolicyTrainer(place, progress.tell) if finetune else None
    for plan in plans:
        progress.about(f"{plan.strategy}, seed {plan.seed}")
        yield from replay_of(data, plan, tools, progress.tell, trainer).rows()


def _peer_rows(
    place: Workplace, data: Dataset, counts: Sequence[int], seed: int, peers: Sequence[str], progress: Progress
) -> Iterator[Row]:
    from model.simulation.baselines import PEERS, Rival

    for name in peers:
        progress.about(f"{PEERS[name].method}, seed {seed}")
        rival = Rival(data, PEERS[name], place.base, place.base_model, place.threads, progress.tell)
        yield from (rival.row(count, seed) for count in counts if count)


def _show(rows: Sequence[Row], plot: Path | None, as_json: bool) -> None:
    from backend.simulate.curves import draw, print_curves
    from backend.simulate.encoders import compare_encoders

    if not as_json:
        print_curves(rows)
        for line in compare_encoders(rows):
            say(line)
    if plot is not None:
        try:
            draw(rows, plot)
        except OSError as error:
            raise click.ClickException(f"{plot} cannot be written: {error}") from error
        if not as_json:
            say(f"Curves drawn in {plot}")
