"""An encoder's tensors, mapped from its safetensors file and read when asked for.

A delta holds only the tensors that training changed (metadata `understudy: delta`, names as in the base model's file);
what it lacks is the base's.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from model.errors import EncoderError
from model.pretrained.architectures import canonical_name

Places = dict[str, tuple[safe_open, str]]
"""Name -> the open file that holds the tensor, and its name there."""

KIND, DELTA = "understudy", "delta"

INT8_COSINE = "int8 cosine"
"""Of a fine-tune: how near its last layer stays in int8 to float32's, on the texts that it was trained for."""


class Weights:
    """Tensors by the names that `rename` gives them (BERT's own). Raises EncoderError for a delta that does not fit.

    `changed`: the names in which `path` differs from `base`; None when it is a whole file. `files`: all that the
    tensors come from."""

    def __init__(
        self, path: Path, base: Path | None = None, rename: Callable[[str], str] | None = canonical_name
    ) -> None:
        self.path = path
        self.files: tuple[Path, ...] = (path,)
        rename = rename or (lambda name: name)
        self._places = _places(path, rename)
        self.changed: frozenset[str] | None = None
        if is_delta(path):
            if base is None:
                raise EncoderError(f"{path} holds changes only; the base model that it changes is needed")
            self.changed, self.files = frozenset(self._places), (path, base)
            whole = _places(base, rename)
            self._require_fit(whole)
            self._places = {**whole, **self._places}

    def _require_fit(self, whole: Places) -> None:
        for name, (file, stored) in self._places.items():
            shape = file.get_slice(stored).get_shape()
            if name not in whole or whole[name][0].get_slice(whole[name][1]).get_shape() != shape:
                raise EncoderError(f"{self.path} changes {name} {shape}, which the base model has not", tensor=name)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def __getitem__(self, name: str) -> Tensor:
        """The tensor in float32: a view of the file where that is what it holds, else a copy."""
        if name not in self._places:
            raise EncoderError(f"the weights in {self.path} lack {name}", tensor=name)
        file, stored = self._places[name]
        tensor: Tensor = file.get_tensor(stored)
        return tensor.float()

    def let_go(self) -> int:
        """For tensors that have been copied: their pages no longer count as this process's, and are read again when
        they are asked for. How many bytes of address space."""
        places = {id(file): (file, stored) for file, stored in self._places.values()}
        tensors = [file.get_tensor(stored) for file, stored in places.values()]
        addresses = [tensor.untyped_storage().data_ptr() for tensor in tensors]
        return sum(_let_go(address, path) for address in addresses for path in self.files)


_MADV_DONTNEED = 4


def _let_go(address: int, path: Path) -> int:
    """The pages of the mapping that the address is in, if it is this file's: what is in memory only would be lost."""
    if not sys.platform.startswith("linux"):
        return 0
    name = str(path.resolve())
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as lines:
        for fields in (line.rstrip("\n").split(maxsplit=5) for line in lines):
            start, end = (int(part, 16) for part in fields[0].split("-"))
            if start <= address < end and fields[5:] == [name]:
                size = ctypes.c_size_t(end - start)
                failed = ctypes.CDLL(None).madvise(ctypes.c_void_p(start), size, _MADV_DONTNEED)
                return 0 if failed else end - start
    return 0


def is_delta(path: Path) -> bool:
    """Whether a safetensors file holds changes to a base model only."""
    with safe_open(path, framework="pt") as file:
        return (file.metadata() or {}).get(KIND) == DELTA


def tuned_cosine(path: Path) -> float | None:
    """What a training wrote down as INT8_COSINE; None where it was not asked."""
    with safe_open(path, framework="pt") as file:
        told = (file.metadata() or {}).get(INT8_COSINE)
    with suppress(ValueError):
        return float(told) if told is not None else None
    return None


def stored_names(base: Path, prefix: str) -> dict[str, str]:
    """Canonical name -> name in the base model's file, whose encoder may be under `prefix`."""
    with safe_open(base, framework="pt") as file:
        return {canonical_name(name.removeprefix(f"{prefix}.")): name for name in file.keys()}  # noqa: SIM118


def _places(path: Path, rename: Callable[[str], str]) -> Places:
    """Renamed -> (open file, its name there)."""
    file = safe_open(path, framework="pt")
    return {rename(name): (file, name) for name in file.keys()}  # noqa: SIM118 (no mapping)
