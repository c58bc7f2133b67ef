"""This machine: disk, packages, and the encoder's files."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from importlib import metadata

from backend.base_model.download import describe_download
from backend.base_model.number_format import describe_timing, slowdown
from backend.doctor.verdict import Verdict, fail, ok, warn
from backend.settings.settings import Settings
from backend.supervision.restarts import find_restarts

LEAST_FREE, FEW_FREE = 1 << 30, 5 << 30
"""Bytes: a fine-tuned BERT-base takes .5 GB a version and as much again while it is trained."""

PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)(?:\s*;(.*))?$")


def check_machine(settings: Settings) -> Iterator[Verdict]:
    """All checks that need no other process."""
    yield check_data_dir(settings)
    yield check_packages()
    yield check_restarts(settings)
    yield check_base_model(settings)
    yield check_number_format(settings)


def check_data_dir(settings: Settings) -> Verdict:
    """DATA_DIR can be written to, and has room."""
    name, directory = "data directory", settings.data_dir.absolute()
    if not directory.is_dir():
        return fail(name, f"there is no {directory}", "start `understudy up` once, or set DATA_DIR to where it runs")
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"x")
    except OSError as error:
        remedy = "give the user that runs understudy the right to write there, or free some space"
        return fail(name, f"{directory} cannot be written to: {error.strerror}", remedy)
    disk = shutil.disk_usage(directory)
    return judge_space(str(directory), disk.free, disk.total)


def check_restarts(settings: Settings) -> Verdict:
    """No process of `understudy up` ends again and again, with the signs of life of each short while."""
    if found := find_restarts(settings.data_dir):
        logs = settings.data_dir.absolute() / "logs"
        remedy = f"what it was to do is not done until that is mended; its log is in {logs}"
        return fail("processes", "; ".join(map(str, found)), remedy)
    return ok("processes", "none keeps ending")


def judge_space(directory: str, free: int, total: int) -> Verdict:
    """Whether `free` bytes of `total` are enough."""
    seen = f"{directory} has {free / 2**30:.1f} of {total / 2**30:.0f} GiB free"
    remedy = "free some space, move DATA_DIR, or keep fewer versions (KEEP_VERSIONS, FEATURE_CACHE_MB)"
    if free < LEAST_FREE:
        return fail("data directory", seen, remedy)
    return warn("data directory", seen, remedy) if free < FEW_FREE else ok("data directory", seen)


def check_packages() -> Verdict:
    """What is installed is what was tested."""
    name = "packages"
    try:
        wanted = metadata.requires("understudy") or []
    except metadata.PackageNotFoundError:
        return warn(name, "understudy is not installed as a package", "run `make install`, or `pip install .`")
    wrong = list(differences(wanted))
    if wrong:
        return warn(name, "; ".join(wrong), "run `make install`, or `pip install -r requirements.txt`")
    return ok(name, f"understudy {metadata.version('understudy')}, {len(wanted)} dependencies as pinned")


def differences(wanted: list[str]) -> Iterator[str]:
    """`name 1.0 instead of 1.1` for every pinned requirement that is not met; those of other platforms are left out."""
    for line in wanted:
        match = PIN.match(line.replace(" ", "").replace(";", " ;"))
        if match is None:
            continue
        name, version, marker = match.groups()
        try:
            seen = metadata.version(name)
        except metadata.PackageNotFoundError:
            if not marker:
                yield f"{name} is missing"
            continue
        if seen.partition("+")[0] != version:
            yield f"{name} {seen} instead of {version}"


def check_base_model(settings: Settings) -> Verdict:
    """The encoder's files are there; those of the packaged one are the published ones."""
    from backend.base_model.description import describe_encoder
    from backend.base_model.hub import find_encoder_files
    from model.errors import ModelError

    name = "base model"
    if coming := describe_download(settings):
        return warn(name, coming, "wait: the other processes go on with it")
    try:
        directory = find_encoder_files(settings)
    except ModelError as error:
        remedy = "set BASE_MODEL to a preset (docs/encoders.md), a directory or a hub id that exists, or leave it empty"
        return fail(name, str(error), str(error.evidence.get("hint") or remedy))
    what = describe_encoder(settings.base_model)
    size = (directory / "model.safetensors").stat().st_size
    return ok(name, f"{what}, {size / 2**20:.0f} MiB of weights")


def check_number_format(settings: Settings) -> Verdict:
    """PRECISION is the format that this machine is fastest with, by its own timing."""
    name, seen = "number format", describe_timing(settings)
    if not seen:
        return ok(name, f"PRECISION={settings.precision}; the encoder has not been timed on this machine yet")
    times = slowdown(settings)
    if times:
        return warn(
            name,
            f"PRECISION={settings.precision} is {times:.1f} times slower here than another; timed: {seen}",
            "unset PRECISION: auto takes the faster one",
        )
    return ok(name, f"PRECISION={settings.precision}; timed: {seen}")
