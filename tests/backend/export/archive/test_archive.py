"""Archives are made and read without following a link, and nothing in them leads out of their folder."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from pathlib import Path

import pytest

from backend.client.admin import AdminError
from backend.client.archive import unpack
from backend.errors import Conflict, NotFound
from backend.export.archive.pack import digest_of, pack
from backend.export.archive.shelf import Archive, Shelf


@pytest.fixture
def made(tmp_path: Path) -> Path:
    directory = tmp_path / "made"
    (directory / "inner").mkdir(parents=True)
    (directory / "model.onnx").write_bytes(os.urandom(3 << 20))
    (directory / "README.md").write_text("# card\n" * 100)
    (directory / "inner" / "two.json").write_text("{}")
    return directory


def test_what_is_packed_comes_out_again_and_the_same_files_make_the_same_archive(made: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    digest = pack(made, tmp_path / "a.zip", "label-7", lambda done, whole: told.append((done, whole)))
    assert digest == digest_of(tmp_path / "a.zip") == pack(made, tmp_path / "b.zip", "label-7")
    assert told[-1][0] == told[-1][1] == sum(path.stat().st_size for path in made.rglob("*") if path.is_file())
    with (tmp_path / "a.zip").open("rb") as file:
        unpack(file, tmp_path / "out")
    for path in made.rglob("*"):
        if path.is_file():
            assert (tmp_path / "out" / path.relative_to(made)).read_bytes() == path.read_bytes()
    with pytest.raises(FileExistsError):
        pack(made, tmp_path / "a.zip", "label-7")


@pytest.mark.parametrize("kind", ["file", "directory", "pipe"])
def test_a_link_is_not_packed(made: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "admin_token").write_text("token")
    if kind == "pipe":
        os.mkfifo(made / "odd")
    else:
        (made / "odd").symlink_to(tmp_path / "secret" / ("admin_token" if kind == "file" else ""))
    with pytest.raises(Conflict, match="odd in the export is no regular file"):
        pack(made, tmp_path / "a.zip", "label-7")


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "label-7/../../x", "x/..\\y", "alone", "C:/x/y", "label-7/", "label-7/link"]
)
def test_an_archive_that_leads_elsewhere_is_not_unpacked(tmp_path: Path, name: str) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        entry = zipfile.ZipInfo(name)
        mode = stat.S_IFLNK if name.endswith("link") else stat.S_IFREG
        entry.external_attr = (mode | 0o644) << 16
        packed.writestr(entry, "../../../etc/passwd")
    with pytest.raises(AdminError, match="nothing is unpacked"):
        unpack(file, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*")) and [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_no_archive_is_told(tmp_path: Path) -> None:
    with pytest.raises(AdminError, match="damaged"):
        unpack(io.BytesIO(b"PK\x03\x04 and then nothing"), tmp_path / "out")


def about(number: int, at: float, size: int = 3) -> Archive:
    return Archive(f"export-7-{number:010x}", 7, "onnx", "v1", "label", False, False, "x.zip", size, "ab", at, [], [])


def test_a_few_are_kept_and_what_is_damaged_is_not_sent(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 7)
    shelf.directory.mkdir()
    for number in range(8):
        (tmp_path / "new").write_bytes(b"zip")
        shelf.put(tmp_path / "new", about(number, 1000.0 + number))
    scratch = shelf.scratch("export-7-00000000ff")
    scratch.mkdir()
    gone = shelf.sweep(2000.0)
    assert len(gone) == 6 and [one.id[-1] for one in shelf.archives()] == list("76543")
    os.utime(scratch, (1.0, 1.0))
    assert shelf.sweep(2000.0 + 3 * 86400, "export-7-00000000ff") == []
    assert shelf.sweep(2000.0 + 3 * 86400) == [scratch.name]
    (shelf.directory / "export-7-0000000007.zip").write_bytes(b"cut off")
    (shelf.directory / "export-7-0000000006.zip").unlink()
    (shelf.directory / "export-7-0000000006.zip").symlink_to("/etc/passwd")
    (shelf.directory / "export-7-0000000005.json").write_text("{")
    for number in (5, 6, 7):
        with pytest.raises(NotFound):
            shelf.open(about(number, 0).id)
    with pytest.raises(NotFound):
        shelf.open("../../admin_token")
