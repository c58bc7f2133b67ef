"""The projects of the demo: what they ask can be learned, and their texts are right."""

from __future__ import annotations

from pathlib import Path

from backend.labelstudio.task_spec import parse_label_config
from backend.processes.demo import MARKED_FILE, demo_projects, keep_token
from backend.settings.settings import Settings
from model.spans.documents import read_documents


def test_one_project_asks_for_a_choice_and_one_for_marks() -> None:
    messages, names = demo_projects()
    assert [control.name for control in parse_label_config(messages.label_config).controls] == ["label"]
    (control,) = parse_label_config(names.label_config).spans
    documents = read_documents(MARKED_FILE)
    assert list(names.texts) == [document.text for document in documents]
    assert set(control.keys()) == {span.label for document in documents for span in document.spans}
    assert messages.remembered != names.remembered and len(messages.texts) == 300


def test_the_marked_sentences_name_whole_words_and_come_once() -> None:
    documents = read_documents(MARKED_FILE)
    assert len({document.text for document in documents}) == len(documents) == 40
    for text, spans in ((document.text, document.spans) for document in documents):
        for span in spans:
            around = f" {text} "[span.start] + f" {text} "[span.end + 1]
            assert not around.isalnum() and text[span.start : span.end].strip() == text[span.start : span.end], text


def test_the_token_of_its_label_studio_is_kept_for_other_terminals_and_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "label-studio").mkdir()
    for token in ("first", "second"):
        own = Settings(data_dir=tmp_path, label_studio_api_key=token, _env_file=None)
        path = keep_token(own)
        assert path.read_text(encoding="utf-8") == token and path.stat().st_mode & 0o077 == 0
