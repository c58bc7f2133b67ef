"""Backup and restore: whole, consistent while labels come in, refused when damaged or foreign, taken on when old."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from backend.application.learning_curve import describe_curve
from backend.backup import archive
from backend.backup.archive import LISTING_FILE
from backend.backup.backup import make_backup
from backend.backup.dump import Dump
from backend.backup.restore import restore_backup
from backend.cli.main import main
from backend.errors import BackendError, BadRequest, Conflict
from backend.jobs.learn.refit import refit
from backend.redis_access.keys import project_key
from backend.settings.settings import Settings
from backend.store.stores import Stores
from model.errors import VersionError
from model.versions.directory import verify_version, version_path
from tests.conftest import RedisServer
from tests.support.tiny import PROJECT, Letters, letters, settings, tiny_base  # noqa: F401

pytestmark = pytest.mark.redis

OLD = Path(__file__).parent / "recorded" / "schema1.tar"


@pytest.fixture
def target(own_redis: RedisServer, tmp_path: Path) -> Settings:
    """Another machine, with an empty Redis."""
    return Settings(data_dir=tmp_path / "other", redis_url=own_redis.settings.effective_redis_url)


@pytest.fixture
def there(target: Settings) -> Iterator[Stores]:
    opened = Stores(target)
    yield opened
    opened.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "backup.tar"


def everything(stores: Stores) -> dict[str, Any]:
    """What is stored, key by key, without what passes."""
    dump = Dump(stores.client)
    lines = [line for keys in dump.index().values() for line in dump.read(keys)]
    found: dict[str, Any] = {}
    for line in lines:
        shown = line.get("value", line.get("items"))
        found[line["key"]] = sorted(shown) if line["type"] in ("hash", "zset") else shown
    return found


def fill(context: Any, letters: Letters) -> None:  # noqa: F811
    """A project with versions, a pin, evidence, a deleted annotation, a deleted task, and a training that is over."""
    letters.add(16)
    assert refit(PROJECT) == "published"
    letters.add(8)
    assert refit(PROJECT) == "published"
    stores = context.stores
    stores.versions.pin(PROJECT, "v0.1")
    stores.examples.remove(PROJECT, [3])
    stores.examples.remove_tasks(PROJECT, [4])
    stores.projects.add_pool(PROJECT, {100: {"text": "a b"}}, 10)
    record, _ = stores.jobs.request_training(PROJECT, by="test")
    stores.jobs.update(record["id"], {"status": "done"})


def test_all_of_it_comes_back(
    context: Any,
    letters: Letters,  # noqa: F811
    file: Path,
    target: Settings,
    there: Stores,
) -> None:
    fill(context, letters)
    context.stores.client.hset(project_key(999, "meta"), "dirty", "of a project that nobody connected")
    before = everything(context.stores)
    counts = make_backup(context.settings, file)
    assert counts == {"projects": 1, "examples": 22, "versions": 2}
    assert file.stat().st_mode & 0o777 == 0o600
    assert restore_backup(target, file) == counts
    after = everything(there)
    assert "restored from a backup" in dict(after.pop(f"understudy:{{p{PROJECT}}}:meta"))["dirty"]
    before.pop(f"understudy:{{p{PROJECT}}}:meta")
    after.pop(project_key(999, "seq"), None)
    assert after == before
    live = there.versions.live(PROJECT)
    assert live == "v0.2" and there.versions.pinned(PROJECT) == "v0.1"
    verify_version(version_path(target.models_dir, PROJECT, live))
    records = context.stores.examples.snapshot(PROJECT).records
    assert there.examples.snapshot(PROJECT).records == records
    assert set(there.examples.upsert_many(PROJECT, records)) == {"duplicate"}
    assert there.examples.remove_tasks(PROJECT, [records[0].task]) == ["deleted"], "a task's annotations are known"
    assert there.versions.allocate(PROJECT, tuned=0) == "v0.3"


def test_it_is_of_one_moment_while_labels_come_and_go(
    context: Any,
    letters: Letters,  # noqa: F811
    file: Path,
    target: Settings,
    there: Stores,
) -> None:
    letters.add(800)
    stop = threading.Event()

    def annotate() -> None:
        other, first = Letters(Stores(context.settings)), 1
        other.count = 800
        while not stop.is_set():
            other.add(5)
            other.stores.examples.remove(PROJECT, [first])
            first += 1
        other.stores.close()

    writer = threading.Thread(target=annotate)
    writer.start()
    try:
        for _ in range(2):
            make_backup(context.settings, file)
            restore_backup(target, file, force=True)
            key = f"understudy:{{p{PROJECT}}}:"
            ex, ver, task = (there._redis.hgetall(key + name) for name in ("ex", "ver", "task"))
            log = there._redis.zrange(f"{key}log", 0, -1, withscores=True)
            assert set(ex) == set(ver) == set(task)
            assert [int(score) for _, score in log][-1] == there.examples.seq(PROJECT)
            # One annotation is added at a time, each with the next number, and the oldest go: no gap.
            numbers = sorted(map(int, ex))
            assert numbers == list(range(numbers[0], numbers[-1] + 1))
    finally:
        stop.set()
        writer.join()


def test_no_secret_is_in_it(context: Any, letters: Letters, file: Path) -> None:  # noqa: F811
    fill(context, letters)
    (context.settings.data_dir / "admin_token").write_text("planted-token")
    make_backup(context.settings, file)
    data = file.read_bytes()
    assert b"planted-token" not in data and b"unix://" not in data


def broken_copies(file: Path) -> Iterator[tuple[str, bytes]]:
    data = file.read_bytes()
    yield "cut", data[: len(data) // 2]
    yield "empty", b""
    yield "no tar", b"hello" * 1000
    place = data.index(b'"ex"') if b'"ex"' in data else data.index(b"{p7}:ex")
    yield "a flipped bit", data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    for name in ("../evil", "/tmp/evil"):
        buffer = BytesIO(data)
        with tarfile.open(fileobj=buffer, mode="a") as tar:
            tar.addfile(tarfile.TarInfo(name))
            link = tarfile.TarInfo("store/link")
            link.type, link.linkname = tarfile.SYMTYPE, "../../../etc/passwd"
            tar.addfile(link)
        yield name, buffer.getvalue()


def test_what_is_damaged_or_hostile_is_refused_and_nothing_is_written(
    context: Any,
    letters: Letters,  # noqa: F811
    file: Path,
    target: Settings,
    there: Stores,
) -> None:
    fill(context, letters)
    make_backup(context.settings, file)
    for name, data in broken_copies(file):
        copy = file.with_name("copy.tar")
        copy.write_bytes(data)
        with pytest.raises(BadRequest):
            restore_backup(target, copy)
        assert Dump(there.client).is_empty() and not target.models_dir.exists(), name
        assert not list(target.data_dir.glob("**/evil")) and not Path("/tmp/evil").exists(), name
        assert not list(target.data_dir.glob(".restore-*"))


def test_a_damaged_version_is_left_out_and_keeps_no_label_from_being_restored(
    context: Any,
    letters: Letters,  # noqa: F811
    file: Path,
    target: Settings,
    there: Stores,
) -> None:
    fill(context, letters)
    weights = version_path(context.settings.models_dir, PROJECT, "v0.1") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    whole = make_backup(context.settings, file)
    assert restore_backup(target, file) == whole
    assert not version_path(target.models_dir, PROJECT, "v0.1").exists()


def forged(file: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """A copy with another content of one member, and with the checksum that goes with it."""
    with tarfile.open(file) as source:
        content = source.extractfile(name)
        listing = source.extractfile(LISTING_FILE)
        assert content is not None and listing is not None
        data, facts = change(content.read()), json.loads(listing.read())["files"]
    facts[name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return relabelled(file, {name: data}, files=facts)


def test_what_cannot_be_restored_leaves_what_is_there(
    context: Any,
    letters: Letters,  # noqa: F811
    file: Path,
    target: Settings,
    there: Stores,
) -> None:
    fill(context, letters)
    make_backup(context.settings, file)
    there.projects.save_config(99, "<View/>")
    weights = f"models/{PROJECT}/v0.1/model.safetensors"
    with pytest.raises(VersionError, match="damaged"):
        restore_backup(target, forged(file, weights, lambda data: data[:-1]), force=True)
    key = b'{"key":"rq:queue:train","type":"list","items":["x"]}\n'
    with pytest.raises(BadRequest, match="rq:queue:train"):
        restore_backup(target, forged(file, f"store/{PROJECT}.jsonl", lambda data: data + key), force=True)
    assert there.projects.projects() == [99] and not target.models_dir.exists()


def relabelled(file: Path, members: Mapping[str, bytes] | None = None, **facts: Any) -> Path:
    """A copy whose listing, or members, say something else."""
    copy = file.with_name("relabelled.tar")
    with tarfile.open(file) as source, tarfile.open(copy, "w") as result:
        for member in source.getmembers():
            content = source.extractfile(member)
            assert content is not None
            data = (members or {}).get(member.name, content.read())
            if member.name == LISTING_FILE:
                data = json.dumps({**json.loads(data), **facts}).encode()
            member.size = len(data)
            result.addfile(member, BytesIO(data))
    return copy


def test_a_newer_schema_is_refused_in_a_backup_and_in_redis(
    context: Any,
    letters: Letters,  # noqa: F811
    file: Path,
    target: Settings,
    there: Stores,
) -> None:
    letters.add(2)
    make_backup(context.settings, file)
    with pytest.raises(BadRequest, match="schema 99, this release knows"):
        restore_backup(target, relabelled(file, schema=99))
    with pytest.raises(BadRequest, match="format"):
        restore_backup(target, relabelled(file, format=archive.FORMAT_NUMBER + 1))
    Dump(there.client).set_schema(99)
    with pytest.raises(BackendError, match="written by a newer understudy"):
        there.verify()


def test_what_is_there_is_replaced_only_when_told_and_never_under_running_processes(
    context: Any,
    letters: Letters,  # noqa: F811
    file: Path,
    target: Settings,
    there: Stores,
) -> None:
    fill(context, letters)
    make_backup(context.settings, file)
    there.projects.save_config(99, "<View/>")
    there.queue.enqueue("backend.jobs.learn.refit.refit", 99)
    with pytest.raises(Conflict, match="--force"):
        restore_backup(target, file)
    there.hold_lease("a scheduler", 60)
    with pytest.raises(Conflict, match="running"):
        restore_backup(target, file, force=True)
    assert there.projects.projects() == [99]
    there.give_up_lease("a scheduler")
    restore_backup(target, file, force=True)
    assert there.projects.projects() == [PROJECT]
    assert there.queue.length("backend.jobs.learn.refit.refit") == 0
    shutil.rmtree(version_path(target.models_dir, PROJECT, "v0.1"))
    restore_backup(target, file, force=True)
    verify_version(version_path(target.models_dir, PROJECT, "v0.1"))


def test_a_backup_of_schema_1_is_taken_on(target: Settings, there: Stores) -> None:
    with tarfile.open(OLD) as tar:
        content = tar.extractfile("store/7.jsonl")
        assert content is not None and b'"ok_at' not in content.read(), "it is of the old shape"
    assert restore_backup(target, OLD) == {"projects": 1, "examples": 3, "versions": 0}
    assert there.projects.last_sync(7)["changed"] == 2, "nothing is lost of what it does not have in today's shape"
    assert [row.tuned for row in there.evidence.rows(7)] == [None, None], "rows of then do not say which fine-tune"
    assert describe_curve(there.evidence, 7)["curve"], "of rows that were not added up then"
    assert Dump(there.client).schema() == Dump(there.client).newest_schema
    assert {record.annotation for record in there.examples.snapshot(7).records} == {1, 2, 3}
    assert there.examples.pending(7) == 1


@pytest.mark.parametrize("name", ["b.zip", "b.TAR.XZ", "s3://bucket/b.7z"])
def test_a_name_that_promises_another_format_is_refused(tmp_path: Path, name: str) -> None:
    place = name if "://" in name else str(tmp_path / name)
    refused = CliRunner().invoke(main, ["backup", place, "--data-dir", str(tmp_path / "data")])
    assert refused.exit_code == 1 and "name it .tar, .tar.gz or .tgz" in refused.output
    assert not (tmp_path / name).exists() and not (tmp_path / "data").exists(), "no Redis was begun for it"


@pytest.mark.slow
def test_the_commands_start_the_embedded_redis_when_nothing_runs(tmp_path: Path) -> None:
    run = CliRunner()
    first, second, file = (str(tmp_path / name) for name in ("first", "second", "backup.tar.gz"))
    restored = run.invoke(main, ["restore", str(OLD), "--data-dir", first])
    assert restored.output == f"1 projects, 3 examples, 0 versions restored from {OLD}\n"
    made = run.invoke(main, ["backup", file, "--data-dir", first])
    assert made.output == f"1 projects, 3 examples, 0 versions written to {file}\n"
    assert Path(file).read_bytes()[:2] == b"\x1f\x8b"
    assert run.invoke(main, ["restore", file, "--data-dir", second]).exit_code == 0
    refused = run.invoke(main, ["restore", file, "--data-dir", second])
    assert refused.exit_code == 1 and "--force replaces" in refused.output
    missing = run.invoke(main, ["backup", str(tmp_path / "no" / "b.tar"), "--data-dir", first])
    assert (
        missing.exit_code == 1 and missing.output == f"Error: {tmp_path / 'no' / 'b.tar'}: No such file or directory\n"
    )
    unset = run.invoke(main, ["backup", "", "--data-dir", first])
    assert unset.exit_code == 2 and "it is empty: name a file or a folder" in unset.output
