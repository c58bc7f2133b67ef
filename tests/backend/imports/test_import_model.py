"""`understudy import-model`: a stock classifier comes in as a challenger; the gate alone publishes it."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from backend.backup.backup import make_backup
from backend.backup.restore import restore_backup
from backend.base_model.encoders import Encoders
from backend.cli.main import main
from backend.errors import BadRequest, Conflict, NotFound
from backend.export.export import export_version
from backend.export.wish import Format, Wish
from backend.imports.import_model import import_model
from backend.jobs.learn.refit import refit
from backend.labelstudio.records import ExampleRecord
from backend.settings.settings import Settings
from backend.store.stores import Stores
from model.errors import ModelError
from model.export.stock.parity import Stock
from model.numerics.temperature import apply_temperature
from model.versions.directory import read_manifest, version_path
from model.versions.live_model import LiveModel, load_version
from tests.backend.export.test_transformers import CONFIG, PROJECT, learned  # noqa: F401
from tests.conftest import running_redis
from tests.support.hook_receiver import SECRET
from tests.support.tiny import settings, tiny_base, tiny_settings  # noqa: F401

NAMES = ("a b", "c | d")


@pytest.fixture
def exported(learned: Any, tmp_path: Path) -> Path:  # noqa: F811
    directory = tmp_path / "model"
    export_version(learned.settings, Wish(PROJECT, directory, format=Format.TRANSFORMERS, accept_loss=True))
    return directory


NOBODY = "http://127.0.0.1:9/hooks"


@pytest.fixture
def fresh(tmp_path: Path, tiny_base: Path) -> Iterator[Settings]:  # noqa: F811
    """Another installation, which has its own Redis, knows the project's label config and tells somebody of it who
    never answers."""
    with running_redis() as server:
        found = tiny_settings(tmp_path / "fresh", server.settings.effective_redis_url, tiny_base)
        found = found.model_copy(update={"notify_url": NOBODY, "notify_secret": SecretStr(SECRET)})
        stores = Stores(found)
        stores.projects.save_config(PROJECT, CONFIG)
        yield found
        stores.close()


def label(installation: Settings, swapped: bool = False) -> None:
    """Sixty texts that name their label; `swapped`: the other one."""
    stores = Stores(installation)
    records = [
        ExampleRecord(
            number,
            number,
            {"text": f"{'a b' if number % 2 else 'c d'} {'abcdefgh'[number % 8]} fresh {number}"},
            {"label": [[NAMES[(number + 1 + swapped) % 2]]]},
            f"2026-01-02T00:00:{number % 60:02d}Z",
            number % 3,
        )
        for number in range(1, 61)
    ]
    stores.examples.upsert_many(PROJECT, records)
    stores.close()


def events(stores: Stores) -> list[dict[str, Any]]:
    """What waits to be told."""
    return [json.loads(text) for text in stores.client.hvals(stores.outbox.endpoints[0].keys[1])]


def load(installation: Settings, version: str) -> LiveModel:
    encoders = Encoders(installation)
    return load_version(installation.models_dir, PROJECT, version, encoders.base, encoders.open)


def test_the_round_trip_gives_the_answers_of_what_was_exported(exported: Path, fresh: Settings) -> None:
    """An installation without a label: nothing proves it, it is kept, and answers as the exported directory does."""
    found = import_model(fresh, PROJECT, exported)
    assert not found.published and "too little evidence" in found.reason
    live = load(fresh, found.version)
    texts = [(f"{'a b' if n % 2 else 'c d'} {'abcdefgh'[n % 8]} {'efgh'[n % 4]}",) for n in range(32)]
    wanted = Stock(exported, NAMES).answers(texts)
    np.testing.assert_allclose(live.scores("label", texts), wanted, atol=2e-3)
    answers = live.predict([{"text": text[0]} for text in texts])
    assert [one[0].chosen[0] for one in answers] == [NAMES[place] for place in wanted.argmax(1)]
    manifest = read_manifest(version_path(fresh.models_dir, PROJECT, found.version))
    assert manifest.status == "challenger" and manifest.gate is not None
    stores = Stores(fresh)
    assert stores.versions.live(PROJECT) is None
    noted = stores.audit.read(5)[0]
    assert (noted["action"], noted["status"], noted["project"]) == ("import-model", "refused", "7")
    [event] = events(stores)
    assert event["type"] == "version.refused" and event["data"]["version"] == found.version
    assert event["data"]["reason"] == found.reason and event["data"]["job"] is None
    stores.close()


def test_labels_that_prove_it_publish_it_with_the_same_answers(exported: Path, fresh: Settings) -> None:
    label(fresh)
    found = import_model(fresh, PROJECT, exported)
    live = load(fresh, found.version)
    part = live.finetuned.heads["label"] if live.finetuned else None
    assert part is not None and part.weight == 1.0 and part.trained_on == 60
    texts = [(f"{'a b' if n % 2 else 'c d'} {'abcdefgh'[n % 8]}",) for n in range(16)]
    wanted = apply_temperature(Stock(exported, NAMES).answers(texts), part.temperature)
    np.testing.assert_allclose(live.scores("label", texts), wanted, atol=2e-3)
    stores = Stores(fresh)
    assert (stores.versions.live(PROJECT) == found.version) == found.published
    [event] = events(stores)
    assert event["type"] == ("version.published" if found.published else "version.refused")
    assert event["data"]["version"] == found.version
    stores.close()


def test_one_that_knows_nothing_is_refused_and_kept_with_the_reason(
    exported: Path, fresh: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(fresh, swapped=True)
    monkeypatch.setattr("backend.cli.export.import_model.current_settings", lambda: fresh)
    done = CliRunner().invoke(main, ["import-model", "7", str(exported), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert not told["published"] and told["reason"].startswith("imported classifier: ")
    assert told["alike"]["texts"] == 50 and told["alike"]["agreement"] == 1
    assert told["alike"]["largest_difference"] < 2e-3
    assert (version_path(fresh.models_dir, PROJECT, told["version"]) / "encoder" / "model.safetensors").is_file()


def test_an_imported_version_is_backed_up_and_restored(
    exported: Path,
    fresh: Settings,
    tmp_path: Path,
    tiny_base: Path,  # noqa: F811
) -> None:
    found = import_model(fresh, PROJECT, exported)
    make_backup(fresh, tmp_path / "backup.tar")
    with running_redis() as server:
        other = tiny_settings(tmp_path / "other", server.settings.effective_redis_url, tiny_base)
        restore_backup(other, tmp_path / "backup.tar")
        assert load(other, found.version).finetuned is not None


def spoil(directory: Path, target: Path, **changes: Any) -> Path:
    shutil.copytree(directory, target)
    path = target / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")
    return target


def test_what_cannot_be_taken_is_told(exported: Path, fresh: Settings, tmp_path: Path) -> None:
    def refused(directory: Path, why: str) -> None:
        with pytest.raises(BadRequest, match=why):
            import_model(fresh, PROJECT, directory)

    other = {"0": "spam", "1": "a b"}
    refused(spoil(exported, tmp_path / "labels", id2label=other), r"has spam, a b; the project has a b, c \| d")
    refused(spoil(exported, tmp_path / "code", auto_map={"AutoModel": "own.Model"}), "code of its own")
    refused(spoil(exported, tmp_path / "sets", problem_type="multi_label_classification"), "sets")
    refused(spoil(exported, tmp_path / "task", architectures=["BertForMaskedLM"]), "no classifier of texts")
    refused(spoil(exported, tmp_path / "wide", num_hidden_layers=9), "cannot be read")
    linked = spoil(exported, tmp_path / "linked")
    (linked / "model.safetensors").unlink()
    refused(linked, "no model.safetensors; weights must be safetensors")
    (linked / "model.safetensors").symlink_to(exported / "model.safetensors")
    refused(linked, "link out of the directory")
    (linked / "model.safetensors").unlink()
    (linked / "model.safetensors").write_bytes(pickle.dumps({"weight": 1}))
    refused(linked, "cannot be read")
    refused(tmp_path / "nothing", "no directory")
    with pytest.raises(NotFound):
        import_model(fresh, 8, exported)
    stores = Stores(fresh)
    stores.jobs.request_training(PROJECT, "test")
    with pytest.raises(Conflict, match="trains"):
        import_model(fresh, PROJECT, exported)
    stores.close()
    assert not list(fresh.runs_dir.iterdir())


def test_a_project_goes_on_learning_over_an_import(exported: Path, learned: Any) -> None:  # noqa: F811
    found = import_model(learned.settings, PROJECT, exported)
    assert found.version == "v1"
    learned.stores.versions.publish(PROJECT, "v1", expected="", seq=0, by="test", force=True)
    more = ExampleRecord(500, 500, {"text": "a b b a"}, {"label": [["a b"]]}, "2026-01-03T00:00:00Z")
    learned.stores.examples.upsert_many(PROJECT, [more])
    assert refit(PROJECT) == "published"
    after = learned.live_model(PROJECT, learned.stores.versions.live(PROJECT))
    assert after.finetuned is not None and after.finetuned.heads["label"].aged(160).weight == 0.5


def test_an_import_that_is_served_goes_out_again_as_it_came(exported: Path, fresh: Settings, tmp_path: Path) -> None:
    label(fresh)
    found = import_model(fresh, PROJECT, exported)
    again = export_version(fresh, Wish(PROJECT, tmp_path / "again", version=found.version, format=Format.TRANSFORMERS))
    assert again.how == "fine-tuned part" and again.parities[0].agreement == 1
    assert again.parities[0].largest_difference < 0.02
    with pytest.raises(ModelError, match="--format transformers"):
        export_version(fresh, Wish(PROJECT, tmp_path / "graph", version=found.version))
