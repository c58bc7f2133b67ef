"""How fast this machine is with an encoder, timed once by a process of tests and lent to the products that it starts:
each with a data directory of its own, they would all time it."""

from __future__ import annotations

from pathlib import Path

from model.kernels.kept_choice import choose_engine
from model.pretrained.architectures import product_shape
from model.pretrained.base_model import find_base_model, read_config


def lend_timing(data_dir: Path, base_model: str = "") -> None:
    """As if a product with this encoder had been started on this directory before."""
    choose_engine(product_shape(read_config(find_base_model(base_model))), "cpu", data_dir)
