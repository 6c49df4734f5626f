"""PEFT's LoRA adapters on top of a checkpoint: W + s·B·A as one more lazy, read-only model.

After Hu et al., "LoRA" (2021); with rank stabilisation (Kalajdzievski, 2023) s is α/√r instead of α/r. DoRA (Liu et
al., 2024) rescales each output of the sum to a learned magnitude m: m·(W + s·B·A)/‖W + s·B·A‖. Where a tensor holds the
matrices of several experts, each has factors of its own: see `syn2real.merge.experts`.
"""

import math
import threading
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from syn2real.errors import UserError
from syn2real.hashing import remembered_sha256, sha256_json
from syn2real.merge.adapter_config import CONFIG, AdapterConfig
from syn2real.merge.adapter_placement import Placement
from syn2real.merge.checkpoint import Checkpoint
from syn2real.merge.formats.pytorch_file import PytorchFile
from syn2real.merge.formats.safetensors_file import SafetensorsFile
from syn2real.merge.low_rank import Product, Products
from syn2real.merge.references import joined, name_of
from syn2real.merge.tensors import TensorInfo, TensorSource, check_range, ranges

WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
SLICE = 1 << 20  # elements read at a time


class AdaptedSource:
    """A `TensorSource`: ``base`` with an adapter merged into it as it is read.

    Adapted tensors are returned in float64, one rounding short of a stored model; ``infos`` keep the base's dtypes. A
    matrix is computed by rows and never whole, experts one at a time. Raises `UserError` for an adapter that is
    damaged, of another kind, or that does not fit the base, naming the tensor.
    """

    def __init__(self, base: Checkpoint, directory: Path) -> None:
        self.base = base
        self.file = _weights(directory)
        self.config = AdapterConfig.load(directory / CONFIG)
        self._adapter: TensorSource = (
            SafetensorsFile(self.file) if self.file.suffix == ".safetensors" else PytorchFile(self.file)
        )
        self.infos: Mapping[str, TensorInfo] = base.infos
        placed = Placement(directory, self.file, self._adapter, self.config, base)
        self._factors, self._added, self._replaced = placed.factors, placed.added, placed.replaced
        self._products = Products(self._product)  # by tensor, and which of its matrices
        self._magnitudes: dict[str, Tensor] = {}
        self._lock = threading.Lock()

    @property
    def changed(self) -> tuple[str, ...]:
        """Names of the tensors that the adapter changes."""
        return tuple(dict.fromkeys([*self._factors, *self._added, *self._replaced]))

    @property
    def held_bytes(self) -> int:
        """Memory that factors take at most, those of the base's own adapters included."""
        own = self._products.held_bytes(count for f in self._factors.values() for count in f.elements(self._adapter))
        return own + self.base.held_bytes

    def read(self, name: str) -> Tensor:
        """See `TensorSource.read`; float64 where the adapter changes the tensor."""
        info = self.infos[name]
        return self.read_range(name, 0, info.numel).view(info.shape)

    def read_range(self, name: str, start: int, stop: int) -> Tensor:
        """See `TensorSource.read_range`; float64 where the adapter changes the tensor."""
        check_range(self.infos[name], start, stop)
        values = self._under(name, start, stop)
        if name in self._added:
            where, scale = self._added[name]
            return values.to(torch.float64) + scale * self._adapter.read_range(where, start, stop).to(torch.float64)
        if name not in self._factors:
            return values
        merged = self._sum(name, values, start, stop)
        if self._factors[name].magnitude is not None:
            columns, factors = self._columns(name), self._rescaling(name)
            if self._factors[name].flipped:
                merged *= factors[torch.arange(start, stop) % columns]
            else:
                merged *= factors[torch.arange(start, stop) // columns]
        return merged

    def _under(self, name: str, start: int, stop: int) -> Tensor:
        """The tensor that the update is added to: the base's, unless the adapter brings its own."""
        if name in self._replaced:
            return self._adapter.read_range(self._replaced[name], start, stop)
        return self.base.read_range(name, start, stop)

    def _sum(self, name: str, values: Tensor, start: int, stop: int) -> Tensor:
        """W + s·B·A."""
        factors = self._factors[name]
        size = self.infos[name].numel // factors.matrices
        parts, at = [], start
        while at < stop:
            index = at // size
            end = min(stop, (index + 1) * size)
            parts.append(self._products[name, index].range(at - index * size, end - index * size))
            at = end
        product = parts[0] if len(parts) == 1 else torch.cat([torch.empty(0, dtype=torch.float64), *parts])
        return product.mul_(factors.scale).add_(values)

    def _columns(self, name: str) -> int:
        shape = self.infos[name].shape
        return math.prod(shape[1:])

    def _product(self, key: tuple[str, int]) -> Product:
        name, index = key
        return self._factors[name].product(self._adapter, index)

    def _rescaling(self, name: str) -> Tensor:
        """DoRA's m/‖W + s·B·A‖ for each output: float64, shape (out,); norms take a pass over the matrix, once."""
        with self._lock:
            if name not in self._magnitudes:
                factors = self._factors[name]
                rows, columns = self.infos[name].shape[0], self._columns(name)
                squares = torch.zeros(columns if factors.flipped else rows, dtype=torch.float64)
                for first, last in ranges(rows, max(1, SLICE // columns)):
                    start, stop = first * columns, last * columns
                    part = self._sum(name, self._under(name, start, stop), start, stop).view(-1, columns).square_()
                    if factors.flipped:
                        squares += part.sum(0)
                    else:
                        squares[first:last] = part.sum(1)
                assert factors.magnitude is not None
                magnitude = self._adapter.read(factors.magnitude).reshape(-1).to(torch.float64)
                self._magnitudes[name] = magnitude / squares.sqrt()
            return self._magnitudes[name]


class AdaptedCheckpoint(Checkpoint):
    """A `Checkpoint` with an adapter on top; ``a + lora − a`` is the adapter's own task vector."""

    def __init__(self, base: Checkpoint, directory: Path | str) -> None:
        directory = Path(directory)
        self.base, self.adapter = base, directory
        source = AdaptedSource(base, directory)
        files = (*base.files, source.file, directory / CONFIG)
        super().__init__(Path(joined(base.path, directory)), source, files, base.directory)
        self._own = (source.file, directory / CONFIG)

    @property
    def name(self) -> str:
        """Both names, joined by ``+``."""
        return joined(self.base.name, name_of(self.adapter))

    @cached_property
    def sha256(self) -> str:
        """Hash of the hashes of the base, the adapter's weights and its configuration."""
        return sha256_json([self.base.sha256, *map(remembered_sha256, self._own)])

    @property
    def parents(self) -> list[dict[str, Any]]:
        """The base and its adapters, with their hashes."""
        base = self.base.parents or [{"name": self.base.name, "sha256": self.base.sha256}]
        weights = [
            {"name": f"{name_of(self.adapter)}/{file.name}", "sha256": remembered_sha256(file)} for file in self._own
        ]
        return [*base, *weights]

    @property
    def layout(self) -> dict[str, tuple[str, ...]]:
        """The base's shards."""
        return self.base.layout


def is_adapter(directory: Path) -> bool:
    """Whether a directory holds an adapter."""
    return any((directory / name).is_file() for name in (CONFIG, *WEIGHTS))


def _weights(directory: Path) -> Path:
    if not directory.is_dir():
        raise UserError(f"{directory}: no such directory; an adapter is a directory with {CONFIG} and {WEIGHTS[0]}")
    for name in WEIGHTS:
        if (directory / name).is_file():
            if not (directory / CONFIG).is_file():
                raise UserError(f"{directory}: no {CONFIG} beside {name}")
            return directory / name
    raise UserError(f"{directory}: no adapter here (looked for {' and '.join(WEIGHTS)})")
