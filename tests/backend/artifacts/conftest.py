"""A store of each kind that can be had on one machine: a directory, and a real S3 API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.artifacts.object_store import ObjectStore
from backend.artifacts.stored_versions import StoredVersions
from tests.support.object_stores import S3Server, directory_url
from tests.support.tiny import disarmed, letters, tiny_base  # noqa: F401


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    server = S3Server()
    yield server
    server.close()


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[S3Server]:
    """The server, with this process's environment leading to it; each test has a prefix of its own."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    s3_server.url = f"s3://understudy-test/{abs(hash(request.node.nodeid))}"
    yield s3_server
    s3_server.door.is_open = True


@pytest.fixture(params=["file", "s3"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty store."""
    if request.param == "file":
        (tmp_path / "store").mkdir()
        return directory_url(tmp_path / "store")
    server: S3Server = request.getfixturevalue("s3")
    return server.url


@pytest.fixture
def stored(store_url: str) -> StoredVersions:
    return StoredVersions(ObjectStore(store_url))
