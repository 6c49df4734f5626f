"""Reading CTranslate2's Whisper (``model.bin``, binary version 6) under Hugging Face's names.

Layout, little-endian: u32 binary version, string spec, u32 revision, u32 count, then per variable: string name, u8
rank, u32 × rank shape, u8 dtype, u32 bytes, data; then u32 count of aliases, each two strings. A string is a u16 length
that counts its closing NUL, then the bytes. Query, key and value are fused by rows, and the key's bias, which Whisper
lacks, is filled with zeros.
"""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from syn2real.errors import UserError
from syn2real.merge.formats.mapped_file import MappedFile
from syn2real.merge.tensors import TensorInfo, check_range

VERSION, SPEC = 6, "WhisperSpec"
DTYPES = (torch.float32, torch.int8, torch.int16, torch.int32, torch.float16, torch.bfloat16)
SETTINGS = ("decoder/alignment_heads",)  # not scalar, not a weight
TIED = {"decoder/projection/weight": "decoder/embeddings/weight"}

_LEAVES = {"gamma": "weight", "beta": "bias", "weight": "weight", "bias": "bias"}
_TOP = {
    "embeddings/weight": "embed_tokens.weight",
    "position_encodings/encodings": "embed_positions.weight",
    "projection/weight": "proj_out.weight",
}
# Parts of a layer to the Hugging Face modules whose rows they hold, one after the other.
_LAYER = {
    "self_attention/layer_norm": ("self_attn_layer_norm",),
    "self_attention/linear_0": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention/linear_1": ("self_attn.out_proj",),
    "attention/layer_norm": ("encoder_attn_layer_norm",),
    "attention/linear_0": ("encoder_attn.q_proj",),
    "attention/linear_1": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "attention/linear_2": ("encoder_attn.out_proj",),
    "ffn/layer_norm": ("final_layer_norm",),
    "ffn/linear_0": ("fc1",),
    "ffn/linear_1": ("fc2",),
}


@dataclass(frozen=True)
class _Variable:
    shape: tuple[int, ...]
    dtype: torch.dtype
    offset: int  # bytes from the beginning of the file

    def rows(self, part: int, parts: int) -> "_Variable":
        """The ``part``-th of ``parts`` equal blocks of rows."""
        shape = (self.shape[0] // parts, *self.shape[1:])
        return _Variable(shape, self.dtype, self.offset + part * prod(shape) * self.dtype.itemsize)


class CTranslate2File:
    """A CTranslate2 Whisper as a `TensorSource` with the names of ``WhisperForConditionalGeneration``.

    The output projection is tied to the embeddings and not listed, as in Hugging Face's own files. Raises `UserError`
    for a damaged file, another model than Whisper, another binary version, or quantised weights.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = MappedFile(path)
        variables, aliases = _Parser(self._file).parse()
        for alias, target in aliases.items():
            if target not in variables:
                raise UserError(f"{path}: {alias} stands for {target}, which the file does not hold")
            if TIED.get(alias) != target:
                variables[alias] = variables[target]
        self._tensors = self._renamed(variables)
        self.infos: Mapping[str, TensorInfo] = MappingProxyType(
            {name: TensorInfo(variable.shape, variable.dtype) for name, variable in self._tensors.items()}
        )

    def read(self, name: str) -> Tensor:
        """See `TensorSource.read`."""
        variable = self._tensors[name]
        return self._file.tensor(variable.offset, variable.dtype, prod(variable.shape)).view(variable.shape)

    def read_range(self, name: str, start: int, stop: int) -> Tensor:
        """See `TensorSource.read_range`."""
        check_range(self.infos[name], start, stop)
        variable = self._tensors[name]
        return self._file.tensor(variable.offset + start * variable.dtype.itemsize, variable.dtype, stop - start)

    def _renamed(self, variables: Mapping[str, _Variable]) -> dict[str, _Variable]:
        renamed: dict[str, _Variable] = {}
        for name, variable in variables.items():
            if not variable.shape or name in SETTINGS:  # scalars are settings, such as the number of heads
                continue
            if not variable.dtype.is_floating_point:
                kind = str(variable.dtype).removeprefix("torch.")
                raise UserError(f"{self.path}: {name} is quantised to {kind}; use a float16 or float32 conversion")
            targets = _names(name)
            if not targets or variable.shape[0] % len(targets):
                raise UserError(f"{self.path}: {name} of shape {list(variable.shape)} is no known part of Whisper")
            for part, target in enumerate(targets):
                piece = variable.rows(part, len(targets))
                if target.endswith("k_proj.bias"):
                    if self._file.tensor(piece.offset, piece.dtype, prod(piece.shape)).any():
                        raise UserError(f"{self.path}: {name} has a key bias, which Whisper has not")
                    continue
                renamed[target] = piece
        if not renamed:
            raise UserError(f"{self.path}: holds no weights")
        return renamed


def _names(name: str) -> tuple[str, ...]:
    """Hugging Face's names for the blocks of rows of a CTranslate2 variable; none for an unknown one."""
    side, _, rest = name.partition("/")
    if side not in ("encoder", "decoder"):
        return ()
    if rest == "projection/weight":
        return (_TOP[rest],)
    if rest in _TOP:
        return (f"model.{side}.{_TOP[rest]}",)
    module, _, leaf = rest.rpartition("/")
    if leaf not in _LEAVES:
        return ()
    if module in ("conv1", "conv2", "layer_norm"):
        return (f"model.{side}.{module}.{_LEAVES[leaf]}",)
    layer = re.fullmatch(r"layer_(\d+)/(.+)", module)
    if layer is None:
        return ()
    return tuple(f"model.{side}.layers.{layer[1]}.{part}.{_LEAVES[leaf]}" for part in _LAYER.get(layer[2], ()))


class _Parser:
    """Walks the file from its beginning; every length is checked against the file's size before it is used."""

    def __init__(self, file: MappedFile) -> None:
        self._file = file
        self._at = 0

    def parse(self) -> tuple[dict[str, _Variable], dict[str, str]]:
        path = self._file.path
        version = self._number("I")
        if version != VERSION:
            raise UserError(f"{path}: CTranslate2 binary version {version}; only version {VERSION} can be read")
        spec, _ = self._string(), self._number("I")
        if spec != SPEC:
            raise UserError(f"{path}: a CTranslate2 {spec}; only Whisper ({SPEC}) can be read")
        variables: dict[str, _Variable] = {}
        for _ in range(self._number("I")):
            name = self._string()
            variables[name] = self._variable(name)
        aliases = {}
        for _ in range(self._number("I")):
            alias = self._string()
            aliases[alias] = self._string()
        if self._at != self._file.size:
            raise UserError(f"{path}: {self._file.size - self._at} bytes follow the end of the model")
        return variables, aliases

    def _variable(self, name: str) -> _Variable:
        shape = tuple(self._number("I") for _ in range(self._number("B")))
        kind, size = self._number("B"), self._number("I")
        if kind >= len(DTYPES) or prod(shape) * DTYPES[kind].itemsize != size:
            raise UserError(f"{self._file.path}: damaged: {name} has dtype {kind}, shape {list(shape)}, {size} bytes")
        return _Variable(shape, DTYPES[kind], self._skip(size))

    def _number(self, code: str) -> int:
        size = struct.calcsize(code)
        return int.from_bytes(self._file.bytes(self._skip(size), size), "little")

    def _string(self) -> str:
        length = self._number("H")
        raw = self._file.bytes(self._skip(length), length)
        try:
            return raw.rstrip(b"\0").decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{self._file.path}: damaged: a name is not text") from error

    def _skip(self, size: int) -> int:
        """Move on by ``size`` bytes; return where they begin."""
        begin = self._at
        if begin + size > self._file.size:
            raise UserError(f"{self._file.path}: truncated at byte {self._file.size}; copy or download it again")
        self._at += size
        return begin
