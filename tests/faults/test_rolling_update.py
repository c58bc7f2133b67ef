"""Row 50: a new release takes the place of the web processes one by one, while predictions and labels come."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.store.stores import Stores
from tests.conftest import running_redis
from tests.support.rolling import Deployment, roll
from tests.support.tiny import PROJECT, tiny_base, tiny_settings  # noqa: F401


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_row_50_web_processes_replaced_one_by_one_fail_no_request(
    tmp_path: Path,
    tiny_base: Path,
) -> None:
    with running_redis() as server:
        url = server.settings.effective_redis_url
        deployment = Deployment(tmp_path, url, tiny_base)
        try:
            told = roll(deployment, drain=1.0, clients=2)
        finally:
            deployment.close()
        stores = Stores(tiny_settings(tmp_path / "own", url, tiny_base))
        stored = {record.annotation for record in stores.examples.snapshot(PROJECT).records}
        stores.close()
    assert told.failures == () and told.killed == 0
    assert told.requests > 20 and told.acknowledged and told.acknowledged <= stored
