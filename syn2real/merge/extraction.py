"""Task vectors as PEFT LoRA adapters: matrices by truncated singular value decomposition, the rest as it is."""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from syn2real.errors import UserError, did_you_mean
from syn2real.merge import references
from syn2real.merge.adapter import WEIGHTS
from syn2real.merge.adapter_config import CONFIG
from syn2real.merge.adapter_placement import PREFIX
from syn2real.merge.checkpoint import Checkpoint
from syn2real.merge.compression import matrix_of, squares
from syn2real.merge.formats.safetensors_writer import SafetensorsWriter, file_size
from syn2real.merge.groups import GROUPS
from syn2real.merge.low_rank import Product, truncated_svd
from syn2real.merge.merged import Merged
from syn2real.merge.tensors import TensorInfo, dtype_name, ranges
from syn2real.merge.tying import HEAD
from syn2real.merge.vector import TaskVector
from syn2real.sealing import require_space, sealed_directory

EmbeddingChoice = Literal["lora", "save", "skip"]
EMBEDDINGS = ("lora", "save", "skip")
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
RECORD = "extraction.json"
SLICE = 1 << 20  # elements written at a time
_POSITIONS = re.compile(r"position|wpe")  # looked up in ways of the model's own, which PEFT's layers do not know


@dataclass(frozen=True)
class Extracted:
    """One matrix: its module, the rank kept, and ‖τ − τ̂‖/‖τ‖."""

    module: str
    rank: int
    error: float


@dataclass
class Extraction:
    """What `extract_lora` wrote. ``saved``: modules kept whole; ``left_out``: tensors that no adapter can hold."""

    modules: list[Extracted] = field(default_factory=list)
    saved: list[str] = field(default_factory=list)
    biases: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    relative_error: float = 0.0
    parameters: int = 0
    of_parameters: int = 0  # the vector's own
    tied: bool = False  # whether the output shares the embeddings that are adapted

    def as_json(self) -> dict[str, Any]:
        """For ``extraction.json`` and ``--json``."""
        return {
            "relative_error": self.relative_error,
            "parameters": self.parameters,
            "of_parameters": self.of_parameters,
            "modules": [vars(module) for module in self.modules],
            "modules_to_save": self.saved,
            "biases": self.biases,
            "left_out": self.left_out,
            "tied": self.tied,
        }


@dataclass(frozen=True)
class _Sorted:
    """Where each tensor of a vector goes, by name; tensors that are zero are nowhere."""

    linear: list[str]
    embeddings: list[str]
    saved: dict[str, list[str]]  # module → its tensors
    biases: list[str]
    left_out: list[str]


def extract_lora(
    vector: TaskVector,
    base: Checkpoint,
    output: Path | str,
    *,
    rank: int | None = None,
    energy: float | None = None,
    dtype: torch.dtype = torch.float32,
    embeddings: EmbeddingChoice = "lora",
    keep_rest: bool = True,
    overwrite: bool = False,
    on_tensor: Callable[[str], None] | None = None,
) -> Extraction:
    """Write a directory that PEFT loads on ``base`` and that adds ``vector`` to it, as far as its rank allows.

    Every matrix of a module gets ``rank``, or the least rank that holds the share ``energy`` of its sum of squares.
    Biases of adapted modules are stored as they will be (``bias: lora_only``); everything else (norms, convolutions,
    positions) goes to ``modules_to_save``, or is left out without ``keep_rest``.

    Embeddings become LoRA embeddings (``lora``), are kept whole (``save``; not where the output is tied to them), or
    are left out (``skip``). For a tied pair ``ensure_weight_tying`` is set: PEFT then adapts the output too in Llama's
    and Whisper's forward pass (not in GPT-2's), but its merge_and_unload adds the update to the one matrix twice;
    ``base+adapter`` here does not.

    Raises `CheckpointMismatch` when the vector does not fit ``base``, and `UserError` when nothing can be extracted.
    """
    if (rank is None) == (energy is None):
        raise UserError("extracting LoRA: give either a rank or an energy (the share of squares to keep)")
    if rank is not None and rank < 1:
        raise UserError(f"rank {rank}: must be at least 1")
    if energy is not None and not 0 < energy <= 1:
        raise UserError(f"energy {energy:g}: must be more than 0 and at most 1")
    if dtype not in DTYPES:
        raise UserError(f"{dtype_name(dtype)}: choose from {', '.join(map(dtype_name, DTYPES))}")
    if embeddings not in EMBEDDINGS:
        raise UserError(f"embeddings {embeddings!r}: unknown{did_you_mean(embeddings, EMBEDDINGS)}")
    inputs = [base, *(term.source for term in vector.terms)]
    references.require_apart(Path(output), [(source.name, source.path) for source in inputs], of="extraction")
    tied = base.config.get("tie_word_embeddings") is not False and not any(HEAD.search(name) for name in base)
    if tied and embeddings == "save":
        raise UserError(
            f"{base.name}: its output is tied to its embeddings, which cannot be saved apart; use lora or skip"
        )
    merged = Merged(base, vector, allow_dtypes=True)
    norms = {name: norm**2 for name, norm in vector.norms().items()}
    places = _sorted(vector, base, norms, embeddings, keep_rest)
    report = Extraction(saved=sorted(places.saved), biases=places.biases, left_out=places.left_out)
    report.of_parameters = vector.parameters
    report.tied = tied and bool(places.embeddings)
    missed = [norms[name] for name in places.left_out]
    transposed = _transposed([*places.linear], vector)
    factors: dict[str, tuple[Tensor, Tensor]] = {}
    for name in [*places.linear, *places.embeddings]:
        found = truncated_svd(matrix_of(vector, name), rank, energy)
        root = found.values.sqrt()
        left, right = (found.left * root).to(dtype), (root[:, None] * found.right).to(dtype)
        if not (torch.isfinite(left).all() and torch.isfinite(right).all()):
            raise UserError(f"{name} is not finite in {dtype_name(dtype)}; use float32 or mend the vector's parents")
        factors[name] = (left, right)
        parts = squares(vector, name, Product(left, right).range)  # of the factors as they are stored
        missed.append(math.fsum(apart for apart, _ in parts))
        error = math.sqrt(missed[-1] / norms[name])
        report.modules.append(Extracted(name.removesuffix(".weight"), found.rank, error))
        if on_tensor is not None:
            on_tensor(name)
    if not factors:
        raise UserError("the vector moves no matrix, so there is nothing to extract; keep the vector itself")
    total = math.fsum(norms.values())
    report.relative_error = math.sqrt(math.fsum(missed) / total)
    ready = _ready(factors, places, transposed)
    whole = {f"{PREFIX}{name}": name for names in places.saved.values() for name in names}
    whole |= {f"{PREFIX}{name.removesuffix('.bias')}.base_layer.bias": name for name in places.biases}
    infos = {stored: TensorInfo(tuple(value.shape), value.dtype) for stored, value in ready.items()}
    infos |= {stored: base[name] for stored, name in whole.items()}
    report.parameters = sum(info.numel for info in infos.values())
    metadata = {"format": "pt", "parents": json.dumps(vector.provenance, sort_keys=True)}
    require_space(Path(output), file_size(infos, metadata) + (1 << 20))
    with sealed_directory(Path(output), overwrite=overwrite) as partial:
        with SafetensorsWriter(partial / WEIGHTS[0], infos, metadata) as writer:
            for stored, value in ready.items():
                writer.write(stored, 0, value.reshape(-1))
            for stored, name in whole.items():
                for start, stop in ranges(base[name].numel, SLICE):
                    writer.write(stored, start, merged.range(name, start, stop))
        _write_json(partial / CONFIG, _configuration(report, base, places, transposed))
        _write_json(partial / RECORD, report.as_json())
    return report


def _sorted(
    vector: TaskVector, base: Checkpoint, norms: Mapping[str, float], embeddings: str, keep_rest: bool
) -> _Sorted:
    found = _Sorted([], [], {}, [], [])
    rest: list[str] = []
    for name, info in vector.infos.items():
        if norms[name] == 0.0:
            continue
        if not name.endswith(".weight") or len(info.shape) != 2 or _POSITIONS.search(name):
            rest.append(name)
        elif _is_embedding(name):
            {"lora": found.embeddings, "save": rest, "skip": found.left_out}[embeddings].append(name)
        else:
            found.linear.append(name)
    adapted = {name.removesuffix(".weight") for name in found.linear}
    for name in rest:
        module, _, leaf = name.rpartition(".")
        inside = any(other == module or other.startswith(f"{module}.") for other in adapted)
        if leaf == "bias" and module in adapted:
            found.biases.append(name)
        elif (not keep_rest and not _is_embedding(name)) or not module or inside:
            found.left_out.append(name)
        else:
            found.saved[module] = [other for other in base if other.startswith(f"{module}.")]
    if not keep_rest:
        found.left_out.extend(found.biases)
        found.biases.clear()
    return found


def _is_embedding(name: str) -> bool:
    return GROUPS["embeddings"].search(name) is not None and not _POSITIONS.search(name)


def _transposed(names: list[str], vector: TaskVector) -> bool:
    """Whether matrices are stored (in, out), as GPT-2's are: then a bias is as long as the last dimension."""
    votes = []
    for name in names:
        bias = vector.infos.get(name.removesuffix("weight") + "bias")
        rows, columns = vector.infos[name].shape
        if bias is not None and rows != columns:
            votes.append(bias.shape == (columns,))
    return bool(votes) and all(votes)


def _ready(factors: Mapping[str, tuple[Tensor, Tensor]], places: _Sorted, transposed: bool) -> dict[str, Tensor]:
    """The factors under PEFT's names: A (r, in) and B (out, r), or an embedding's A (r, count) and B (width, r)."""
    ready = {}
    for name, (left, right) in factors.items():
        module = f"{PREFIX}{name.removesuffix('.weight')}"
        if name in places.embeddings:
            ready[f"{module}.lora_embedding_A"] = left.T.contiguous()
            ready[f"{module}.lora_embedding_B"] = right.T.contiguous()
        else:
            a, b = (left.T, right.T) if transposed else (right, left)
            ready[f"{module}.lora_A.weight"] = a.contiguous()
            ready[f"{module}.lora_B.weight"] = b.contiguous()
    return ready


def _configuration(report: Extraction, base: Checkpoint, places: _Sorted, transposed: bool) -> dict[str, Any]:
    """α = r everywhere, so that s is 1."""
    ranks = {module.module: module.rank for module in report.modules}
    most = max(ranks.values())
    other = {re.escape(name): rank for name, rank in ranks.items() if rank != most}
    return {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": base.name,
        "inference_mode": True,
        "r": most,
        "lora_alpha": most,
        "rank_pattern": other,
        "alpha_pattern": other,
        "lora_dropout": 0.0,
        "target_modules": sorted(ranks),
        "modules_to_save": report.saved or None,
        "bias": "lora_only" if places.biases else "none",
        "fan_in_fan_out": transposed,
        "init_lora_weights": True,
        "use_rslora": False,
        "use_dora": False,
    } | ({"ensure_weight_tying": True} if report.tied else {})


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
