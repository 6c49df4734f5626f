"""PEFT's LoRA adapters on top of a checkpoint: W + s·B·A as one more lazy, read-only model.

After Hu et al., "LoRA" (2021); with rank stabilisation (Kalajdzievski, 2023) s is α/√r instead of α/r. DoRA (Liu et
al., 2024) rescales each output of the sum to a learned magnitude m: m·(W + s·B·A)/‖W + s·B·A‖.
"""

import math
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from syn2real.errors import CheckpointMismatch, UserError
from syn2real.hashing import remembered_sha256, sha256_json
from syn2real.merge.adapter_config import CONFIG, AdapterConfig
from syn2real.merge.checkpoint import Checkpoint
from syn2real.merge.formats.pytorch_file import PytorchFile
from syn2real.merge.formats.safetensors_file import SafetensorsFile
from syn2real.merge.groups import GROUPS
from syn2real.merge.low_rank import Product, Products
from syn2real.merge.references import joined, name_of
from syn2real.merge.tensors import TensorInfo, TensorSource, check_range, ranges
from syn2real.merge.tying import HEAD

WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
PREFIX = "base_model.model."  # of every name in PEFT's files
SLICE = 1 << 20  # elements read at a time

_PART = re.compile(
    r"(?P<module>.+?)\.(?P<part>lora_(?:embedding_)?[AB]|lora_magnitude_vector)(?:\.(?P<leaf>weight|bias))?"
)


@dataclass(frozen=True)
class Factors:
    """Where the parts of one module's update lie in the adapter's file. ``flipped``: the stored matrix is (in, out)."""

    a: str
    b: str
    scale: float
    flipped: bool
    magnitude: str | None = None


class AdaptedSource:
    """A `TensorSource`: ``base`` with an adapter merged into it as it is read.

    Adapted tensors are returned in float64, one rounding short of a stored model; ``infos`` keep the base's dtypes. A
    matrix is computed by rows and never whole. Raises `UserError` for an adapter that is damaged, of another kind, or
    that does not fit the base, naming the tensor.
    """

    def __init__(self, base: Checkpoint, directory: Path) -> None:
        self.base = base
        self.file = _weights(directory)
        self.config = AdapterConfig.load(directory / CONFIG)
        self._adapter: TensorSource = (
            SafetensorsFile(self.file) if self.file.suffix == ".safetensors" else PytorchFile(self.file)
        )
        self.infos: Mapping[str, TensorInfo] = base.infos
        self._factors: dict[str, Factors] = {}
        self._added: dict[str, tuple[str, float]] = {}  # biases: where, and times what
        self._replaced: dict[str, str] = {}
        self._products = Products(self._product)
        self._magnitudes: dict[str, Tensor] = {}
        self._lock = threading.Lock()
        self._place(directory)

    @property
    def changed(self) -> tuple[str, ...]:
        """Names of the tensors that the adapter changes."""
        return tuple(dict.fromkeys([*self._factors, *self._added, *self._replaced]))

    @property
    def held_bytes(self) -> int:
        """Memory that factors take at most, those of the base's own adapters included."""
        infos = self._adapter.infos
        own = self._products.held_bytes(infos[f.a].numel + infos[f.b].numel for f in self._factors.values())
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
        product = self._products[name].range(start, stop)
        return product.mul_(self._factors[name].scale).add_(values)

    def _columns(self, name: str) -> int:
        shape = self.infos[name].shape
        return math.prod(shape[1:])

    def _product(self, name: str) -> Product:
        factors = self._factors[name]
        a, b = self._adapter.read(factors.a), self._adapter.read(factors.b)
        a, b = a.reshape(a.shape[0], -1), b.reshape(b.shape[0], -1)
        return Product(a.T, b.T) if factors.flipped else Product(b, a)

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

    def _place(self, directory: Path) -> None:
        """Find the place of every tensor of the adapter in the base, and what each of them does there."""
        modules: dict[str, dict[str, str]] = {}
        whole: dict[str, str] = {}
        for stored in self._adapter.infos:
            name = stored.removeprefix(PREFIX)
            found = _PART.fullmatch(name)
            if found:
                part = found["part"] + (".bias" if found["leaf"] == "bias" else "")
                modules.setdefault(found["module"], {})[part] = stored
            elif "lora_" in name:
                raise UserError(f"{self.file}: {stored} is no part of a LoRA adapter that can be merged")
            else:
                whole[name.replace(".base_layer.", ".").replace(".modules_to_save.", ".")] = stored
        if not modules and not whole:
            raise UserError(f"{self.file}: holds no adapter")
        rename = _renaming([*(f"{module}.weight" for module in modules), *whole], self.infos)
        square = self._flips_squares(modules, rename)
        problems: list[str] = []
        for module, found_parts in modules.items():
            problems += self._place_module(module, rename(f"{module}.weight"), found_parts, square)
        for name, stored in whole.items():
            target = rename(name)
            if target not in self.infos and self._is_tied_copy(stored, whole.values()):
                continue
            if target not in self.infos:
                problems.append(f"{name} has no place in {self.base.name}{_tied(name, self.base)}")
            elif self.infos[target].shape != self._adapter.infos[stored].shape:
                shapes = f"{list(self._adapter.infos[stored].shape)}, not {list(self.infos[target].shape)}"
                problems.append(f"{name} is {shapes} as in {self.base.name}")
            else:
                self._replaced[target] = stored
        problems += self._absent(modules, whole, rename)
        if problems:
            more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
            raise CheckpointMismatch(
                f"{directory} does not fit {self.base.name}: {'; '.join(problems[:5])}{more}; "
                "use the base model that it was trained on"
            )

    def _is_tied_copy(self, stored: str, others: Iterable[str]) -> bool:
        """Whether a whole tensor repeats the embeddings: PEFT saves an output that is tied to them once more."""
        info = self._adapter.infos[stored]
        value = self._adapter.read(stored)
        same = [(self.base, name) for name in self.infos if GROUPS["embeddings"].search(name)]
        brought = [(self._adapter, name) for name in others if name != stored and GROUPS["embeddings"].search(name)]
        return any(
            source.infos[name].shape == info.shape and torch.equal(source.read(name), value)
            for source, name in [*brought, *same]
        )

    def _place_module(self, module: str, target: str, parts: Mapping[str, str], square: bool | None) -> list[str]:
        """Record a module's update; return what is wrong with it. ``square``: see `_flips_squares`."""
        embedding = "lora_embedding_A" in parts or "lora_embedding_B" in parts
        kind = "lora_embedding_" if embedding else "lora_"
        lacking = [name for name in (f"{kind}A", f"{kind}B") if name not in parts]
        if lacking:
            return [f"{module} lacks {lacking[0]}"]
        if self.config.dora and "lora_magnitude_vector" not in parts:
            return [f"{module} lacks lora_magnitude_vector, which DoRA needs"]
        info = self.infos.get(target)
        if info is None:
            return [f"{module} has no place in {self.base.name}{_tied(f'{module}.weight', self.base)}"]
        if not info.is_float:
            return [f"{module} is quantised in {self.base.name}"]
        a, b = (self._adapter.infos[parts[f"{kind}{side}"]] for side in "AB")
        fits = _orientation(info.shape, a.shape, b.shape)
        if not fits:
            shapes = f"A is {list(a.shape)}, B is {list(b.shape)}, the tensor is {list(info.shape)}"
            return [f"{module}: {shapes} in {self.base.name}"]
        if embedding:
            fits = fits & {True}
        if len(fits) == 2 and square is None:
            return [f"{module} is square and the others lie both ways, so that its sides cannot be told apart"]
        flipped = fits == {True} or (len(fits) == 2 and bool(square))
        try:
            scale = self.config.scale(module, a.shape[0])
        except UserError as error:
            return [str(error)]
        magnitude = parts.get("lora_magnitude_vector") if self.config.dora else None
        outputs = info.shape[-1] if flipped else info.shape[0]
        if magnitude is not None and self._adapter.infos[magnitude].numel != outputs:
            return [f"{module} has {self._adapter.infos[magnitude].numel} magnitudes for {outputs} outputs"]
        self._factors[target] = Factors(parts[f"{kind}A"], parts[f"{kind}B"], scale, flipped, magnitude)
        if "lora_B.bias" in parts:
            bias = target.removesuffix("weight") + "bias"
            if bias not in self.infos:
                return [f"{module} adds to a bias that {self.base.name} has not"]
            self._added[bias] = (parts["lora_B.bias"], scale)
        return []

    def _flips_squares(self, modules: Mapping[str, Mapping[str, str]], rename: Callable[[str], str]) -> bool | None:
        """Whether square matrices are stored (in, out): as the others are, else as configured; None if they differ."""
        votes = set()
        for module, parts in modules.items():
            info = self.infos.get(rename(f"{module}.weight"))
            if info is not None and "lora_A" in parts and "lora_B" in parts:
                a, b = (self._adapter.infos[parts[f"lora_{side}"]] for side in "AB")
                fits = _orientation(info.shape, a.shape, b.shape)
                votes |= fits if len(fits) == 1 else set()
        if len(votes) == 2:
            return None
        return votes.pop() if votes else self.config.transposed

    def _absent(self, modules: Iterable[str], whole: Iterable[str], rename: Any) -> list[str]:
        """What the configuration names and the adapter's file lacks."""
        adapted = {rename(f"{module}.weight") for module in modules}
        names = {rename(name): name for name in whole}
        back = {rename(f"{module}.weight"): module for module in modules}
        added = next((t.removesuffix(f"{m}.weight") for t, m in back.items() if t.endswith(f"{m}.weight")), "")
        problems = []
        for name, info in self.infos.items():
            module = name.removesuffix(".weight").removeprefix(added)
            matrix = name.endswith(".weight") and len(info.shape) > 1 and info.is_float
            if matrix and name not in adapted and name not in names and self.config.covers(module):
                problems.append(f"it lacks {module}, which its target_modules name")
            saved = any(re.fullmatch(rf"(.*\.)?{re.escape(one)}(\..*)?", name) for one in self.config.saved)
            if saved and name not in names and name not in adapted:
                problems.append(f"it lacks {name}, which its modules_to_save name")
        return problems


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


def _orientation(shape: tuple[int, ...], a: tuple[int, ...], b: tuple[int, ...]) -> set[bool]:
    """How A and B can make a stored tensor: as (out, in), {False}; as (in, out), {True}; either way, both."""
    if len(a) < 2 or len(b) < 2 or a[0] != (b[1] if len(b) > 1 else 0) or not shape:
        return set()
    fits = set()
    if len(shape) == len(a) and len(shape) > 2:  # convolutions: (out, in, k…), A of (r, in, k…), B of (out, r, 1…)
        if shape == (b[0], *a[1:]) and all(size == 1 for size in b[2:]):
            fits.add(False)
    elif len(shape) == len(a) == len(b) == 2:
        if shape == (b[0], a[1]):
            fits.add(False)
        if shape == (a[1], b[0]):
            fits.add(True)
    return fits


def _renaming(wanted: list[str], names: Mapping[str, TensorInfo]) -> Any:
    """From the adapter's names to the base's: models with and without a head differ in a prefix of all names.

    The prefix is the one with which most names have a place; names as they are come first.
    """
    heads = dict.fromkeys(["", *(".".join(n.split(".")[:k]) + "." for n in names for k in (1, 2) if n.count(".") > k)])
    drops = dict.fromkeys(["", *(".".join(n.split(".")[:k]) + "." for n in wanted for k in (1, 2) if n.count(".") > k)])
    best, most = ("", ""), -1
    for drop in drops:
        for add in heads:
            if drop and add:
                continue
            found = sum(add + name.removeprefix(drop) in names for name in wanted)
            if found > most:
                best, most = (drop, add), found
        if most == len(wanted):
            break
    drop, add = best
    return lambda name: add + name.removeprefix(drop)


def _tied(name: str, base: Checkpoint) -> str:
    head = HEAD.search(name)
    return ", whose output is tied to its embeddings" if head and base.config.get("tie_word_embeddings", True) else ""
