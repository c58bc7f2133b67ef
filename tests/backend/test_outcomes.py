"""The words that jobs, scripts and records share are the ones of the enums, byte for byte."""

from __future__ import annotations

import json
import re
from pathlib import Path

import backend.store
from backend.outcomes import FINAL_STATES, JobOutcome, PublishOutcome, waits_after_failure
from backend.redis_access.job_kinds import JOB_KINDS
from backend.store.work import run_scripts


def test_publish_lua_returns_every_publish_outcome_and_no_other_word() -> None:
    script = (Path(backend.store.__file__).parent / "publish.lua").read_text(encoding="utf-8")
    assert set(re.findall(r"return '([^']*)'", script)) == set(PublishOutcome)


def test_every_job_outcome_belongs_to_a_kind_of_job() -> None:
    assert {word for kind in JOB_KINDS for word in kind.outcomes} == set(JobOutcome)


def test_a_run_of_predictions_is_over_for_python_and_for_redis_alike() -> None:
    in_lua = set(re.findall(r"\['\"(\w+)\"'\] = true", run_scripts.IS_OVER))
    assert in_lua == FINAL_STATES - {JobOutcome.REJECTED}, "nothing rejects a run"


def test_outcomes_are_written_as_plain_words() -> None:
    assert json.dumps({"status": JobOutcome.NO_CONFIG}) == '{"status": "no config"}'
    assert f"{JobOutcome.OFF}" == str(JobOutcome.OFF) == "off"
    assert waits_after_failure(9.6) == "waits 10 s after a failure"
