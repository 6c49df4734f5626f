"""Reading GGUF models of the Llama family, dequantised to float32, under Hugging Face's names.

llama.cpp stores the rows of the query and key projections so that rotary pairs are neighbours; Hugging Face keeps the
two halves of a head apart. Row ``2i + j`` of a head there is row ``j · size/2 + i`` here.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from syn2real.errors import NotInstalled, UserError, one_line
from syn2real.merge.tensors import TensorInfo, check_range

Field = TypeVar("Field", str, int)
FAMILY = "llama"
DERIVED = ("rope_freqs.weight",)  # follows from the configuration; Hugging Face stores no such tensor
_TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


class GGUFFile:
    """A GGUF file as a `TensorSource`; every tensor is float32, dequantised row by row as it is read.

    Raises `NotInstalled` without the ``gguf`` package, and `UserError` for a damaged file or another architecture.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        reader = _reader(path)
        architecture = _field(path, reader, "general.architecture", str)
        if architecture != FAMILY:
            raise UserError(
                f"{path}: GGUF architecture {architecture!r} is not {FAMILY!r}; use the model's safetensors"
            )
        heads = _field(path, reader, "llama.attention.head_count", int)
        kv_heads = _field(path, reader, "llama.attention.head_count_kv", int, heads)
        self._stored: dict[str, Any] = {}
        self._rows: dict[str, np.ndarray] = {}
        infos: dict[str, TensorInfo] = {}
        for stored in reader.tensors:
            if stored.name in DERIVED:
                continue
            name = _name(path, stored.name)
            shape = tuple(int(size) for size in reversed(stored.shape))  # GGUF lists the fastest dimension first
            infos[name] = TensorInfo(shape, torch.float32)
            self._stored[name] = stored
            if ".q_proj." in name or ".k_proj." in name:
                self._rows[name] = _unpermuted(path, name, shape[0], heads if ".q_proj." in name else kv_heads)
        if not infos:
            raise UserError(f"{path}: holds no weights")
        self.infos: Mapping[str, TensorInfo] = MappingProxyType(infos)

    def read(self, name: str) -> Tensor:
        """See `TensorSource.read`."""
        info = self.infos[name]
        return self.read_range(name, 0, info.numel).view(info.shape)

    def read_range(self, name: str, start: int, stop: int) -> Tensor:
        """See `TensorSource.read_range`. Only the rows that the range touches are dequantised."""
        from gguf.quants import dequantize

        info = self.infos[name]
        check_range(info, start, stop)
        if not info.numel:
            return torch.empty(0)
        stored, order = self._stored[name], self._rows.get(name)
        if len(info.shape) == 1:
            row = np.asarray(dequantize(stored.data, stored.tensor_type), dtype=np.float32)
            values = row if order is None else row[order]
            return torch.from_numpy(np.array(values[start:stop]))
        width = info.shape[-1]
        first, last = start // width, -(-stop // width)
        data = stored.data.reshape(-1, stored.data.shape[-1])
        rows = data[first:last] if order is None else data[order[first:last]]
        flat = np.array(dequantize(rows, stored.tensor_type), dtype=np.float32).reshape(-1)
        return torch.from_numpy(flat[start - first * width : stop - first * width])


def _reader(path: Path) -> Any:
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise NotInstalled("gguf", "gguf") from error
    try:
        return GGUFReader(str(path))
    except Exception as error:  # the reader trusts the file, so damage can surface as any error
        reason = one_line(error, 120)
        raise UserError(f"{path}: damaged or not a GGUF file ({reason}); copy or download it again") from error


def _field(path: Path, reader: Any, key: str, kind: type[Field], default: Field | None = None) -> Field:
    field = reader.get_field(key)
    try:
        value = default if field is None else field.contents()
    except UnicodeDecodeError:
        value = b""
    if value is None:
        raise UserError(f"{path}: lacks the GGUF field {key}")
    if not isinstance(value, kind):
        raise UserError(f"{path}: damaged: the GGUF field {key} is no {kind.__name__}; copy or download it again")
    return value


def _name(path: Path, name: str) -> str:
    """Hugging Face's name for llama.cpp's. Raises `UserError` for one outside of the family (mixtures of experts)."""
    module, _, leaf = name.rpartition(".")
    layer = re.fullmatch(r"blk\.(\d+)\.(\w+)", module)
    if leaf in ("weight", "bias"):
        if module in _TOP:
            return f"{_TOP[module]}.{leaf}"
        if layer and layer[2] in _LAYER:
            return f"model.layers.{layer[1]}.{_LAYER[layer[2]]}.{leaf}"
    raise UserError(f"{path}: {name} is no part of a plain Llama model; use the model's safetensors")


def _unpermuted(path: Path, name: str, rows: int, heads: int) -> np.ndarray:
    """For each Hugging Face row, the stored row that holds it: shape (rows,), int64."""
    if heads <= 0 or rows % (2 * heads):
        raise UserError(f"{path}: {name} has {rows} rows, which {heads} heads cannot share")
    return np.arange(rows).reshape(heads, rows // heads // 2, 2).swapaxes(1, 2).reshape(-1)
