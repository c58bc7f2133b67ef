"""What a model card says of a format: how it is run, and what it is made of."""

from __future__ import annotations

from backend.export.exported import Exported
from backend.export.wish import Format

LIBRARY = {Format.ONNX: "onnx", Format.TRANSFORMERS: "transformers", Format.MLFLOW: "mlflow"}


def describe_library(found: Exported) -> str:
    """What model hubs call what reads it."""
    return LIBRARY[found.format]


def describe_usage(found: Exported, inputs: int) -> list[str]:
    """Lines of Markdown. `inputs`: how many texts a question reads."""
    if found.format is Format.TRANSFORMERS:
        return [*_pipeline(inputs), *_making(found)]
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


def _making(found: Exported) -> list[str]:
    from model.export.stock.bundle import OWN

    if found.how == OWN:
        return [
            "",
            "It is the fine-tuned part of that version alone, without the head that is refitted on every label.",
        ]
    return ["", f"It was **distilled**: taught the version's own answers to {found.taught} texts, labelled or not."]
