"""What a model card says of a format: how it is run, and what it is made of."""

from __future__ import annotations

from pathlib import Path

from backend.export.exported import Exported
from backend.export.wish import Format
from model.spec import Control, Kind

LIBRARY = {Format.ONNX: "onnx", Format.TRANSFORMERS: "transformers", Format.MLFLOW: "mlflow"}


def describe_library(found: Exported) -> str:
    """What model hubs call what reads it."""
    return LIBRARY[found.format]


def describe_usage(found: Exported, control: Control, directory: Path) -> list[str]:
    """Lines of Markdown, of what lies in a directory."""
    if found.format is Format.TRANSFORMERS:
        usage = _marking(found, directory) if control.kind is Kind.SPANS else _pipeline(len(control.inputs))
        return [*usage, *_making(found)]
    if found.format is Format.MLFLOW:
        return [
            '`mlflow.pyfunc.load_model("DIR").predict(frame)`: a data frame with a column for each input gives a list',
            "of `{labels, score, ranking}`. It needs what requirements.txt lists. Without mlflow",
            "`python DIR/model/predict.py texts.csv` answers.",
            "Scores are calibrated probabilities that the whole answer is right.",
        ]
    return [
        '`python predict.py texts.csv -o answers.csv`, or `Model("DIR")([{...}])` from predict.py: it needs',
        "`onnxruntime` and `tokenizers`, and one column or key for each input. Texts are plain text.",
        "Scores are calibrated probabilities that the whole answer is right.",
    ]


def _pipeline(inputs: int) -> list[str]:
    given = '"text"' if inputs == 1 else '{"text": "first", "text_pair": "second"}'
    return [
        "```python",
        "from transformers import pipeline",
        'classify = pipeline("text-classification", "DIR", truncation=True)',
        f"classify({given}, top_k=None)",
        "```",
        "Scores are probabilities of single labels. Of a long text it reads the beginning alone, as `truncation` says.",
        "Where a set of labels is asked for, `thresholds` in config.json says from which score each of them is chosen.",
    ]


def _marking(found: Exported, directory: Path) -> list[str]:
    from model.export.stock.spans.classifier import aggregation_of
    from model.export.stock.spans.parity import SHARED_TOKENS

    how = aggregation_of(directory)
    lines = [
        "```python",
        "from transformers import pipeline",
        f'mark = pipeline("token-classification", "DIR", aggregation_strategy="{how}", stride={SHARED_TOKENS})',
        'mark("text")',
        "```",
        "Of each span label (`entity_group`), `start`, `end` (code points) and `score`, which tells how likely it is",
        "right. `stride` reads long texts in windows: without it their beginning alone is read. Other strategies than",
        f"`{how}` mark parts of words otherwise.",
    ]
    return [*lines, "", f"It cannot say all of it: {found.unsaid}."] if found.unsaid else lines


def _making(found: Exported) -> list[str]:
    from model.export.stock.bundle import OWN

    if found.how == OWN:
        return [
            "",
            "It is the fine-tuned part of that version alone, without the head that is refitted on every label.",
        ]
    missed = f" For {found.unasked} others there was no time (`--minutes`)." if found.unasked else ""
    taught = f"taught the version's own answers to {found.taught} texts, labelled or not."
    return ["", f"It was **distilled**: {taught}{missed}"]
